"""The API, fuzzed by its own document, and one POST sent many times at once."""
