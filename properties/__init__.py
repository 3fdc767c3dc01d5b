"""The laws of pooling, and the machinery that puts them to a backend."""
