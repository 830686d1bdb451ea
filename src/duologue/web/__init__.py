"""HTTP and the socket: decode, call core, encode."""
