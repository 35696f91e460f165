"""The database edge: sole importer of SQLModel, SQLAlchemy and psycopg. One module of queries a noun."""
