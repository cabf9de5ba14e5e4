"""Data: from a folder of music and ratings to a clip store and a split."""
