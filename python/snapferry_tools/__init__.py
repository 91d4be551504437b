"""What the demo, the client tests and the benchmarks share: servers as child processes, and what stands around them."""
