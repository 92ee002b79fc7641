"""Ways to tune the image encoder with few parameters; see `method.attach_method`."""
