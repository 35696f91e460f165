"""
Many runs at once: workers as processes of their own, PostgreSQL, and stand-in machines in other processes, so that what
they cost is counted with nobody else's.
"""
