"""The data's way from a datalist JSON to slabs of consecutive slices: read, split, check, sample."""
