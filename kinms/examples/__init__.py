"""Examples that existing scripts import; `tutorials/gallery` has the same galaxies in both APIs, with figures."""
