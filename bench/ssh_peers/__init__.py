"""
Pushing an agent, launching it and reading its result over SSH: the product's own way beside the tools that people would
otherwise take, in turns, on the same hosts.
"""
