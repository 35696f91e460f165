"""What the catalog says of itself: row security, views, policies, doors and logins, each as a rule that holds for all."""

from __future__ import annotations

from typing import Final

from bench.attacks.tenancy.two_tenants import Tally, TwoTenants

_OURS: Final = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_CLIENTS: Final = "'anon', 'authenticated', 'harborx_api'"
_ANY: Final = "('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[])"

# Each query names what breaks the rule.
RULES: Final = {
    "row security is not enabled": f"""
        SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND c.oid = ANY (%(owned)s::regclass[]) AND NOT c.relrowsecurity""",
    "row security is not forced": f"""
        SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND c.oid = ANY (%(owned)s::regclass[]) AND NOT c.relforcerowsecurity""",
    "there is no policy": """
        SELECT c.oid::regclass FROM pg_class c WHERE c.oid = ANY (%(owned)s::regclass[])
        AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)""",
    "a policy lets everybody see or write everything": """
        SELECT polrelid::regclass || ' ' || polname FROM pg_policy p, unnest(p.polroles) AS granted (role)
        WHERE granted.role NOT IN (SELECT oid FROM pg_roles WHERE rolname = 'service_role')
          AND 'true' IN (pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))""",
    "a view does not ask as who looks": f"""
        SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND (c.relkind = 'm' OR c.relkind = 'v'
          AND NOT coalesce(c.reloptions && '{{security_invoker=true,security_invoker=on,security_invoker=1}}', false))""",
    "a client has a right on what is nobody's": f"""
        SELECT c.oid::regclass || ' ' || role FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
        unnest(ARRAY[{_CLIENTS}]) role
        WHERE {_OURS} AND c.relkind IN ('r', 'p', 'f') AND c.oid <> ALL (%(owned)s::regclass[]) AND EXISTS (
            SELECT FROM unnest{_ANY} verb WHERE has_table_privilege(role, c.oid, verb)
            AND (verb, role) <> ('SELECT', 'harborx_api'))""",
    "a reference between tenants' tables is without the owner": """
        SELECT f.conrelid::regclass || ' ' || f.conname FROM pg_constraint f
        WHERE f.contype = 'f' AND f.conrelid = ANY (%(owned)s::regclass[]) AND f.confrelid = ANY (%(owned)s::regclass[])
          AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)
                          AND a.attname = 'user_id')""",
    "a door leaves its search_path to the caller": f"""
        SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_OURS} AND p.prosecdef AND NOT EXISTS (SELECT FROM unnest(p.proconfig) setting
            WHERE setting = 'search_path=""' OR setting ~ '^search_path=pg_catalog, .*pg_temp$')""",
    "a door is not service_role's, and others than it may open it": f"""
        SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
        aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) granted
        WHERE {_OURS} AND p.prosecdef AND p.proowner <> 'service_role'::regrole
          AND granted.grantee NOT IN (p.proowner, 'service_role'::regrole)""",
    "a door is open to everybody": f"""
        SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
        aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) granted
        WHERE {_OURS} AND p.prosecdef AND granted.grantee = 0 AND granted.privilege_type = 'EXECUTE'""",
    "a client may make something in a schema or a temporary table": f"""
        SELECT role || ' ' || place FROM unnest(ARRAY[{_CLIENTS}]) role, LATERAL (
            SELECT nspname AS place FROM pg_namespace n WHERE has_schema_privilege(role, n.oid, 'CREATE')
            UNION SELECT kind FROM unnest('{{CREATE,TEMPORARY}}'::text[]) kind
            WHERE has_database_privilege(role, current_database(), kind)) may""",
    "a login or role of ours has a power over row security or roles": """
        SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role', 'harborx_api', 'harborx_worker')
          AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication
               OR rolname = 'harborx_api' AND rolinherit)""",
    "the API's login may become more than anon and authenticated": """
        SELECT rolname FROM pg_roles WHERE pg_has_role('harborx_api', oid, 'MEMBER')
          AND rolname NOT IN ('harborx_api', 'anon', 'authenticated')""",
    "a client owns something": f"""
        SELECT relname FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE r.rolname IN ({_CLIENTS})
        UNION SELECT proname FROM pg_proc JOIN pg_roles r ON r.oid = proowner WHERE r.rolname IN ({_CLIENTS})""",
}


def hold(tenants: TwoTenants, tally: Tally) -> None:
    owned = [f'"{table.schema}"."{table.name}"' for table in tenants.catalog.owned]
    # What is nobody's by its columns may be protected as well.
    for rule, query in RULES.items():
        broken = tenants.ask_named(query, {"owned": owned})
        tally.cell(bool(broken), f"{rule}: {', '.join(str(row[0]) for row in broken)}")
