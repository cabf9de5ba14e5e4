"""The page of a run: sections, charts and what stands in them."""
