"""The methods, one small file each, and what their rules share."""
