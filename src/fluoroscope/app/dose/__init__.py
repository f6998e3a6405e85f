"""Dose, put together: what the commands and the open room read, map, estimate, control and remember."""
