"""The API's speed against what its users would write themselves, and its event streams."""
