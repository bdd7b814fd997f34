"""Patches, slices or views put back together into one volume, in torch."""
