"""
Tests GPU machines for a marketplace.

Someone asks for a test of an instance. The request becomes a run in PostgreSQL (`runs.request`). A
worker claims it (`runs.engine`, `runs.execute`), connects over SSH, pushes the agent, launches it
detached and follows its events (`ssh`), stores them as they come (`database`) and judges them
into one result with a verdict (`domain.verdict`), which `api` and `cli` present.
"""
