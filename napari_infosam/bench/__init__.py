"""The table of methods: train and measure every row on every data set and seed."""
