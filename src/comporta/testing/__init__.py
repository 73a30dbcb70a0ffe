"""The fakes that the tests, the demos and the load runs use."""
