"""What growth costs: readings at rest, the newest of millions of results, pages, and months that go."""
