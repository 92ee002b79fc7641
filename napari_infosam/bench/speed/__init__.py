"""What `infosam bench-speed` measures; the one part of `bench` that imports torch."""
