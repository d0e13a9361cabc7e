"""A server whose work needs the processor, on as many cores as there are."""
