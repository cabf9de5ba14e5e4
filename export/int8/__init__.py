"""int8: what it costs layer by layer, the choice of layers, the quantised graph."""
