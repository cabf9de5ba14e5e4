"""What the phone model lost (CCC) and won (latency, size, memory), against its teacher and the usual recipe."""
