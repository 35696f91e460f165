-- The database of Harborx orchestrator: the only DDL, readable top to bottom.
--
-- PostgreSQL 15 or newer. Applied by `harborx db init` in one transaction, after procrastinate's own schema,
-- by a login that may create roles. It also fits a Supabase database, where the roles anon, authenticated
-- and service_role and the function auth.uid() exist already.
--
-- Rules that hold here so that no program can forget them:
--   * a tenant sees and points at its own rows only: row security is enabled AND forced, and references
--     between tenant tables carry user_id;
--   * no refusal tells of another tenant: what a tenant writes is unique among its own, and it names an id only
--     where that must be known beforehand (random ones, which nobody but their owner is told);
--   * numbers that come from a machine are finite (in PostgreSQL NaN is greater than every number);
--   * one unfinished run an instance; a finished run never moves again; an epoch never goes back;
--   * a result exists once a run; compute miles are computed from the measured GPU name.

-- ---------------------------------------------------------------------------------------------------
-- Roles
-- ---------------------------------------------------------------------------------------------------
-- anon, authenticated, service_role   what a transaction acts as (set_config('role', ..., true))
-- harborx_api                         login of the API: may act as anon and authenticated, never as service_role
-- harborx_worker                      login of workers: acts as service_role

DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'harborx_api') THEN
        CREATE ROLE harborx_api LOGIN NOINHERIT NOBYPASSRLS NOCREATEROLE NOCREATEDB;
        ALTER ROLE harborx_api SET statement_timeout = '10s';
        -- To plan a query over all months of results costs ten times what it does: once a connection is enough.
        ALTER ROLE harborx_api SET plan_cache_mode = 'force_generic_plan';
        ALTER ROLE harborx_api SET idle_in_transaction_session_timeout = '10s';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'harborx_worker') THEN
        CREATE ROLE harborx_worker LOGIN INHERIT NOBYPASSRLS NOCREATEROLE NOCREATEDB;
        -- A worker that is frozen in the middle of a transaction must not hold its rows for long.
        ALTER ROLE harborx_worker SET idle_in_transaction_session_timeout = '5s';
        -- What is told by the time of its transaction's start (fleet_changes) is looked for 20 seconds back. The
        -- programs give a transaction up after 15; where the server can, it does too, whatever has become of them.
        IF current_setting('server_version_num')::integer >= 170000 THEN
            ALTER ROLE harborx_api SET transaction_timeout = '15s';
            ALTER ROLE harborx_worker SET transaction_timeout = '15s';
        END IF;
    END IF;
    IF NOT pg_has_role('harborx_api', 'authenticated', 'MEMBER') THEN
        GRANT anon, authenticated TO harborx_api;
    END IF;
    IF NOT pg_has_role('harborx_worker', 'service_role', 'MEMBER') THEN
        GRANT service_role TO harborx_worker;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- roles belong to the whole server: another database's init made them just now
END
$roles$;

GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role, harborx_api, harborx_worker;

-- ---------------------------------------------------------------------------------------------------
-- Who is asking
-- ---------------------------------------------------------------------------------------------------

DO $auth$
BEGIN
    IF to_regnamespace('auth') IS NULL THEN
        CREATE SCHEMA auth;
    END IF;
    IF to_regprocedure('auth.uid()') IS NULL THEN
        -- Supabase's convention. nullif: after a transaction-local set_config the setting is '' and not NULL.
        CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $uid$
            SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
        $uid$;
        GRANT USAGE ON SCHEMA auth TO PUBLIC;
    END IF;
END
$auth$;

-- ---------------------------------------------------------------------------------------------------
-- Words
-- ---------------------------------------------------------------------------------------------------

CREATE DOMAIN finite AS double precision CHECK (VALUE > '-Infinity' AND VALUE < 'Infinity');
CREATE DOMAIN amount AS double precision CHECK (VALUE >= 0 AND VALUE < 'Infinity');

CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

-- The formula `harborx-v1`. H200 is a name of its own: no earlier rule may catch it.
CREATE FUNCTION compute_miles_factor(measured_gpu_name text) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN upper(measured_gpu_name) LIKE '%H200%' THEN 1.6
        WHEN upper(measured_gpu_name) LIKE '%H100%' THEN 1.5
        WHEN upper(measured_gpu_name) LIKE '%A100%' THEN 1.2
        ELSE 1.0
    END
$$;

-- What OpenSSH prints of a public key line; null for what is none.
CREATE FUNCTION ssh_fingerprint(public_key text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN split_part(public_key, ' ', 2) ~ '^([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
        THEN 'SHA256:' || rtrim(encode(sha256(decode(split_part(public_key, ' ', 2), 'base64')), 'base64'), '=') END
$$;

-- ---------------------------------------------------------------------------------------------------
-- Suppliers
-- ---------------------------------------------------------------------------------------------------

CREATE TABLE profiles (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- How a profile signs in here. Suppliers of an external issuer have a profile and no account.
CREATE TABLE accounts (
    user_id        uuid PRIMARY KEY REFERENCES profiles (id) ON DELETE CASCADE,
    email          text NOT NULL CHECK (email = lower(email)),
    password_hash  text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (email)
);

-- A sign-in. Its id is in the token, so that it can be listed and ended before it expires.
CREATE TABLE sessions (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    user_agent    text CHECK (length(user_agent) <= 300),
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),  -- to the minute
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_ended ON sessions (least(expires_at, revoked_at));

-- Keys are random, so a plain SHA-256 is enough; the key itself is shown once and never stored.
CREATE TABLE api_keys (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       uuid DEFAULT auth.uid() REFERENCES profiles (id) ON DELETE CASCADE,
    role          text NOT NULL DEFAULT 'authenticated' CHECK (role IN ('authenticated', 'service_role')),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    public_id     text NOT NULL,
    secret_hash   bytea NOT NULL CHECK (length(secret_hash) = 32),
    scopes        text[] NOT NULL DEFAULT '{read,test,submit}',
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    instance_id   uuid,  -- for the agent that is run by hand there: it submits results of this one, for a time
    made_by       uuid,  -- the key that asked for it: it ends no later, and is revoked with it
    UNIQUE (user_id, id),
    -- Of one tenant, or a clash would tell of another's key; it is looked up by its first column.
    UNIQUE NULLS NOT DISTINCT (public_id, user_id),
    CHECK ((role = 'service_role') = (user_id IS NULL)),
    CHECK (instance_id IS NULL OR scopes = '{submit}' AND expires_at IS NOT NULL AND user_id IS NOT NULL),
    FOREIGN KEY (user_id, made_by) REFERENCES api_keys (user_id, id) ON DELETE CASCADE
);
CREATE INDEX api_keys_made_by ON api_keys (made_by) WHERE made_by IS NOT NULL;

-- What may be tried only so often, counted for all servers together. An id is a SHA-256 of what is counted (an account's
-- address with a network, the address, the network), so that it tells nothing of accounts, nor whether there is one.
CREATE TABLE attempts (
    id            bytea PRIMARY KEY CHECK (length(id) = 32),
    failures      integer NOT NULL DEFAULT 0 CHECK (failures >= 0),  -- an attempt counts as one until it has succeeded
    last_at       timestamptz NOT NULL DEFAULT '-infinity',
    succeeded_at  timestamptz,
    kept_until    timestamptz NOT NULL DEFAULT now() + interval '1 hour'
);
CREATE INDEX attempts_old ON attempts (kept_until);

CREATE TABLE supplier_profiles (
    id                          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id                     uuid NOT NULL UNIQUE DEFAULT auth.uid() REFERENCES profiles (id) ON DELETE CASCADE,
    company_name                text NOT NULL,
    legal_business_name         text NOT NULL,
    contact_email               text NOT NULL,
    contact_phone               text NOT NULL,
    business_address            text NOT NULL,
    authorized_signatory        text NOT NULL,
    signatory_title             text NOT NULL,
    infrastructure_description  text,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------------------------------------------
-- Inventory and instances
-- ---------------------------------------------------------------------------------------------------

CREATE TABLE gpu_inventory (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id          uuid NOT NULL DEFAULT auth.uid() REFERENCES profiles (id) ON DELETE CASCADE,
    gpu_model        text NOT NULL,
    quantity         integer NOT NULL DEFAULT 1 CHECK (quantity >= 0),
    hours_available  amount NOT NULL DEFAULT 0,
    status           text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'maintenance')),
    deleted_at       timestamptz,  -- deleted, and can be restored until it is forgotten
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, id)
);
CREATE INDEX gpu_inventory_listing ON gpu_inventory (user_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX gpu_inventory_deleted ON gpu_inventory (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE gpu_instances (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id             uuid NOT NULL DEFAULT auth.uid() REFERENCES profiles (id) ON DELETE CASCADE,
    gpu_inventory_id    uuid,

    -- The provider's own names; unique for one supplier, so that a clash tells nothing about others.
    vast_instance_id    text NOT NULL CHECK (length(vast_instance_id) BETWEEN 1 AND 200),
    vast_offer_id       text,
    vast_machine_id     text,
    provider            text DEFAULT 'custom',
    location            text,
    price_per_hour      amount,                          -- US dollars, of the whole instance
    listed              boolean NOT NULL DEFAULT true,   -- shown in the public listing while it is active

    ssh_host            text NOT NULL CHECK (length(ssh_host) BETWEEN 1 AND 255),
    ssh_port            integer NOT NULL DEFAULT 22 CHECK (ssh_port BETWEEN 1 AND 65535),
    ssh_user            text NOT NULL DEFAULT 'root' CHECK (length(ssh_user) BETWEEN 1 AND 64),
    ssh_key             text CHECK (ssh_key IS NULL),  -- kept for its name; keys are in gpu_credentials, sealed
    addressed_at        timestamptz,  -- since when it is at this address; null: since it was onboarded

    -- Which machine it is. `given`: the supplier told its fingerprint beforehand, and nothing else is trusted at the first
    -- contact. `checked`, `first_contact`: it was seen there, before any login. `rotated`: the key before it proved it.
    -- `authority`: its certificate is of one of host_authorities. `accepted`: the supplier took it in another's place.
    host_key               text,
    host_key_fingerprint   text GENERATED ALWAYS AS (ssh_fingerprint(host_key)) STORED,
    host_key_trust         text CHECK (host_key_trust IN ('given', 'checked', 'first_contact', 'accepted', 'rotated', 'authority')),
    host_key_seen_at       timestamptz,
    host_key_confirmed_at  timestamptz,  -- when the supplier said that it is the machine's
    host_key_given         text CHECK (host_key_given ~ '^SHA256:[A-Za-z0-9+/]{43}$'),
    host_keys_proved       text[] CHECK (cardinality(host_keys_proved) BETWEEN 1 AND 8),  -- by it, to be the machine's too
    host_key_offered       text,         -- another one that it showed since; no login was tried
    host_key_offered_fingerprint text GENERATED ALWAYS AS (ssh_fingerprint(host_key_offered)) STORED,
    host_key_offered_at    timestamptz,
    lets_us_in          boolean NOT NULL DEFAULT false,  -- the last test that was asked for has logged in, or a check had

    -- What the supplier claims; null where nothing was claimed, then filled by the first measurement.
    gpu_name            text,
    gpu_count           integer CHECK (gpu_count BETWEEN 0 AND 1024),
    cuda_version        text,
    disk_space_gb       amount,
    cpu_count           integer CHECK (cpu_count > 0),
    ram_gb              amount,

    status              text NOT NULL DEFAULT 'pending'
                        CHECK (status IN ('pending', 'testing', 'active', 'failed', 'offline')),
    test_status         text NOT NULL DEFAULT 'not_started'
                        CHECK (test_status IN ('not_started', 'running', 'completed', 'failed')),
    tested_at           timestamptz,
    metadata            jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(metadata) < 65536),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),

    UNIQUE (user_id, id),
    UNIQUE (user_id, vast_instance_id),
    CHECK (host_key IS NOT NULL OR num_nonnulls(host_key_trust, host_key_confirmed_at, host_keys_proved) = 0),
    FOREIGN KEY (user_id, gpu_inventory_id) REFERENCES gpu_inventory (user_id, id)
        ON DELETE SET NULL (gpu_inventory_id)
);
ALTER TABLE api_keys ADD FOREIGN KEY (user_id, instance_id) REFERENCES gpu_instances (user_id, id) ON DELETE CASCADE;
CREATE INDEX api_keys_instance ON api_keys (instance_id) WHERE instance_id IS NOT NULL;
CREATE INDEX gpu_instances_listing ON gpu_instances (user_id, created_at DESC, id DESC);
CREATE INDEX gpu_instances_inventory ON gpu_instances (user_id, gpu_inventory_id) WHERE gpu_inventory_id IS NOT NULL;
CREATE INDEX gpu_instances_changed ON gpu_instances (user_id, updated_at);
CREATE INDEX gpu_instances_public ON gpu_instances (tested_at DESC, id DESC)
    WHERE listed AND status IN ('active', 'testing');

-- The keys that wrap what is sealed here, each with a text of ours under it: whoever opens that has the key. A retired
-- one seals nothing any more, so that it may be thrown away.
CREATE TABLE vault_keys (
    key_id       text PRIMARY KEY CHECK (length(key_id) BETWEEN 1 AND 200),
    wrapped_key  bytea NOT NULL,
    ciphertext   bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    retired_at   timestamptz
);

-- Whose certificates say which machine it is, as @cert-authority in known_hosts: `hosts` are patterns of ssh_host. A
-- fleet whose certificates are of one needs no pinned keys.
CREATE TABLE host_authorities (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL DEFAULT auth.uid() REFERENCES profiles (id) ON DELETE CASCADE,
    hosts        text NOT NULL CHECK (length(hosts) BETWEEN 1 AND 500),
    public_key   text NOT NULL CHECK (length(public_key) BETWEEN 1 AND 4096),
    fingerprint  text NOT NULL CHECK (length(fingerprint) BETWEEN 1 AND 100),
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, hosts, fingerprint)
);

-- How we log in to an instance. The private half is AES-256-GCM ciphertext under a data key that is
-- itself wrapped by a key outside the database; both are bound to this row.
CREATE TABLE gpu_credentials (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL DEFAULT auth.uid(),
    instance_id  uuid,  -- null: the supplier's key, for every instance without a login of its own
    kind         text NOT NULL CHECK (kind IN ('supplied', 'generated', 'certificate')),
    public_key   text NOT NULL,
    fingerprint  text NOT NULL,
    key_id       text,
    wrapped_key  bytea,
    ciphertext   bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CHECK (instance_id IS NOT NULL OR kind = 'generated'),
    -- With our user CA each login has a key pair of its own, and nothing is kept.
    CHECK (num_nonnulls(key_id, wrapped_key, ciphertext) = CASE kind WHEN 'certificate' THEN 0 ELSE 3 END),
    UNIQUE (instance_id, user_id),
    FOREIGN KEY (user_id) REFERENCES profiles (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id, instance_id) REFERENCES gpu_instances (user_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX gpu_credentials_of_supplier ON gpu_credentials (user_id) WHERE instance_id IS NULL;
CREATE INDEX gpu_credentials_key ON gpu_credentials (key_id, id) WHERE key_id IS NOT NULL;

-- A look at a machine before it is onboarded: address, host key, login, probe. A key that was supplied for it is
-- sealed as in gpu_credentials and wiped when a worker takes the check, or nobody has within two minutes.
CREATE TABLE connection_checks (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id        uuid NOT NULL DEFAULT auth.uid() REFERENCES profiles (id) ON DELETE CASCADE,
    ssh_host       text NOT NULL CHECK (length(ssh_host) BETWEEN 1 AND 255),
    ssh_port       integer NOT NULL CHECK (ssh_port BETWEEN 1 AND 65535),
    ssh_user       text NOT NULL CHECK (length(ssh_user) BETWEEN 1 AND 64),
    login          text NOT NULL CHECK (login IN ('supplied', 'shared', 'certificate')),
    key_id         text,
    wrapped_key    bytea,
    ciphertext     bytea,
    state          text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'checking', 'passed', 'failed')),
    host_key       text,
    steps          jsonb NOT NULL DEFAULT '[]' CHECK (pg_column_size(steps) < 65536),
    probe          jsonb CHECK (pg_column_size(probe) < 65536),
    error_code     text,
    error_message  text,
    evidence       jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(evidence) < 65536),
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    UNIQUE (user_id, id),
    CHECK ((finished_at IS NULL) = (state IN ('queued', 'checking'))),
    CHECK (finished_at IS NULL OR ciphertext IS NULL),
    CHECK (state <> 'failed' OR error_code IS NOT NULL)
);
CREATE INDEX connection_checks_old ON connection_checks (created_at);
CREATE INDEX connection_checks_key ON connection_checks (key_id, id) WHERE key_id IS NOT NULL;
CREATE INDEX connection_checks_unfinished ON connection_checks (created_at) WHERE finished_at IS NULL;

-- How often a supplier has had us contact a machine that may be a stranger's: an hour's worth at once, and then one
-- whenever the hour has earned one back. All of it is back at `whole_at`.
CREATE TABLE contact_rates (
    user_id   uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    kind      text NOT NULL CHECK (kind IN ('machine', 'check')),
    whole_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, kind)
);

CREATE TABLE performance_metrics (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id            uuid NOT NULL DEFAULT auth.uid() REFERENCES profiles (id) ON DELETE CASCADE,
    gpu_inventory_id   uuid,
    compute_hours      amount NOT NULL DEFAULT 0,
    uptime_percentage  amount NOT NULL DEFAULT 100 CHECK (uptime_percentage <= 100),
    recorded_at        timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (user_id, gpu_inventory_id) REFERENCES gpu_inventory (user_id, id) ON DELETE CASCADE
);
CREATE INDEX performance_metrics_user ON performance_metrics (user_id, recorded_at DESC);

-- ---------------------------------------------------------------------------------------------------
-- Schedules, runs, events, results
-- ---------------------------------------------------------------------------------------------------

CREATE TABLE gpu_test_schedules (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id         uuid NOT NULL DEFAULT auth.uid(),
    instance_id     uuid NOT NULL,
    every_hours     integer CHECK (every_hours BETWEEN 1 AND 8760),
    cron            text CHECK (length(cron) <= 200),
    timezone        text NOT NULL DEFAULT 'UTC' CHECK (length(timezone) <= 64),
    jitter_seconds  integer NOT NULL DEFAULT 0 CHECK (jitter_seconds BETWEEN 0 AND 86400),
    misfire         text NOT NULL DEFAULT 'run_once' CHECK (misfire IN ('run_once', 'skip')),
    enabled         boolean NOT NULL DEFAULT true,
    options         jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(options) < 8192),
    next_due_at     timestamptz NOT NULL,  -- the nominal time: with the id it names one firing
    next_fire_at    timestamptz NOT NULL,  -- the nominal time plus its jitter
    last_due_at     timestamptz,
    last_outcome    text,                  -- as in gpu_test_firings
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(every_hours, cron) = 1),
    UNIQUE (user_id, id),
    UNIQUE (instance_id, user_id),
    FOREIGN KEY (user_id, instance_id) REFERENCES gpu_instances (user_id, id) ON DELETE CASCADE
);
CREATE INDEX gpu_test_schedules_due ON gpu_test_schedules (next_fire_at) WHERE enabled;
CREATE INDEX gpu_test_schedules_changed ON gpu_test_schedules (user_id, updated_at);

-- What became of every due time: a time that had no run has a row that says why.
CREATE TABLE gpu_test_firings (
    schedule_id  uuid NOT NULL,
    due_at       timestamptz NOT NULL,  -- of the first one, where several were missed
    user_id      uuid NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('fired', 'in_progress', 'missed', 'unreadable')),
    run_id       uuid,
    times        integer NOT NULL DEFAULT 1 CHECK (times > 0),  -- due times that this row stands for
    last_due_at  timestamptz NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule_id, due_at),
    CHECK ((outcome = 'fired') = (run_id IS NOT NULL)),
    FOREIGN KEY (user_id, schedule_id) REFERENCES gpu_test_schedules (user_id, id) ON DELETE CASCADE
);

-- queued -> connecting -> preparing -> running -> judging -> passed | failed | inconclusive | cancelled
CREATE TABLE gpu_test_runs (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id              uuid NOT NULL,
    instance_id          uuid NOT NULL,
    requested_by         text NOT NULL CHECK (requested_by IN ('api', 'schedule', 'cli')),
    options              jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(options) < 8192),
    state                text NOT NULL DEFAULT 'queued' CHECK (state IN
                         ('queued', 'connecting', 'preparing', 'running', 'judging',
                          'passed', 'failed', 'inconclusive', 'cancelled')),
    nonce                text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    epoch                integer NOT NULL DEFAULT 0,  -- raised by each claim; every later write carries it
    attempt              integer NOT NULL DEFAULT 0,  -- claims, however they came about
    retries              integer NOT NULL DEFAULT 0,  -- errors after which it was tried again
    worker               text,
    remote_offset        bigint NOT NULL DEFAULT 0 CHECK (remote_offset >= 0),  -- bytes of events.ndjson stored
    next_agent_seq       integer NOT NULL DEFAULT 0,  -- the agent's next event number
    last_seq             bigint NOT NULL DEFAULT 0,   -- number of the newest row in gpu_test_events
    instance_status      text NOT NULL,  -- as before the run, to be restored when it proves nothing
    instance_test_status text NOT NULL,
    error_code           text,
    error_message        text,
    evidence             jsonb NOT NULL DEFAULT '{}',
    schedule_id          uuid,
    due_at               timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    not_before           timestamptz,  -- postponed until then: its GPU was busy, or its supplier's hour was used up
    claimed_at           timestamptz,
    launched_at          timestamptz,  -- set before the launch is sent: from then on the machine may hold something of it
    started_at           timestamptz,  -- the agent's first event
    cancel_requested_at  timestamptz,
    finished_at          timestamptz,
    cleaned_at           timestamptz,  -- the run's folder is gone from the instance
    clean_due_at         timestamptz,  -- the janitor looks then; null once it is clean or was given up
    clean_attempts       integer NOT NULL DEFAULT 0,
    CHECK (schedule_id IS NULL OR due_at IS NOT NULL),
    CHECK ((finished_at IS NULL) = (state IN ('queued', 'connecting', 'preparing', 'running', 'judging'))),
    CHECK (state NOT IN ('failed', 'inconclusive', 'cancelled') OR error_code IS NOT NULL),
    CHECK (state <> 'queued' OR launched_at IS NULL),
    UNIQUE (user_id, id),
    CONSTRAINT gpu_test_runs_schedule_id_due_at_key UNIQUE (schedule_id, due_at, user_id),
    FOREIGN KEY (user_id, instance_id) REFERENCES gpu_instances (user_id, id) ON DELETE CASCADE,
    FOREIGN KEY (user_id, schedule_id) REFERENCES gpu_test_schedules (user_id, id)
        ON DELETE SET NULL (schedule_id)
);
CREATE UNIQUE INDEX gpu_test_runs_one_unfinished ON gpu_test_runs (instance_id) WHERE finished_at IS NULL;
CREATE INDEX gpu_test_runs_listing ON gpu_test_runs (user_id, created_at DESC, id DESC);
CREATE INDEX gpu_test_runs_instance ON gpu_test_runs (instance_id, created_at DESC);
CREATE INDEX gpu_test_runs_finished ON gpu_test_runs (instance_id, finished_at DESC) INCLUDE (user_id, error_code)
    WHERE finished_at IS NOT NULL;
-- Those that a worker has begun: how they move is told to whoever watches the fleet.
CREATE INDEX gpu_test_runs_moving ON gpu_test_runs (user_id) WHERE finished_at IS NULL AND epoch > 0;
-- By age, for what is kept for a time only; and the key of a run's one result.
CREATE UNIQUE INDEX gpu_test_runs_ended ON gpu_test_runs (finished_at, id, user_id);
CREATE INDEX gpu_test_runs_to_clean ON gpu_test_runs (clean_due_at) WHERE clean_due_at IS NOT NULL;

CREATE TABLE gpu_test_events (
    run_id   uuid NOT NULL,
    seq      bigint NOT NULL CHECK (seq > 0),
    user_id  uuid NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),  -- when we received it, by our clock
    t        amount,                              -- seconds since the benchmark started, by the machine's clock
    type     text NOT NULL,
    body     jsonb NOT NULL,
    PRIMARY KEY (run_id, seq),
    FOREIGN KEY (user_id, run_id) REFERENCES gpu_test_runs (user_id, id) ON DELETE CASCADE
);

-- A table a month of created_at (UTC): what is older than anybody wants goes with its month, and an instance's newest
-- are looked for in the newest months only. Months are made ahead (make_result_months); what none was made for is in
-- the default one until its month is. Of a run, created_at is when it ended: so there is one a run, and it is looked
-- for in one month.
CREATE TABLE gpu_test_results (
    id                           uuid NOT NULL DEFAULT gen_random_uuid(),
    gpu_instance_id              uuid NOT NULL,
    user_id                      uuid NOT NULL,
    run_id                       uuid,  -- null for a result that an agent run by hand submitted
    source                       text NOT NULL CHECK (source IN ('pushed', 'submitted')),

    test_type                    text NOT NULL DEFAULT 'resnet50' CHECK (test_type IN ('resnet50', 'custom')),
    batch_size                   integer DEFAULT 32,
    num_epochs                   integer DEFAULT 1,
    image_size                   integer DEFAULT 224,

    throughput_images_per_sec    amount,
    throughput_samples_per_sec   amount,
    latency_ms                   amount,
    gpu_utilization_percent      amount CHECK (gpu_utilization_percent <= 100),
    memory_used_gb               amount,
    memory_total_gb              amount,
    power_draw_watts             amount,
    temperature_celsius          finite,
    accuracy                     finite,
    loss                         finite,

    measured_gpu_name            text,
    measured_gpu_count           integer,
    compute_miles_formula        text NOT NULL DEFAULT 'harborx-v1' CHECK (compute_miles_formula = 'harborx-v1'),
    compute_miles_per_hour       double precision GENERATED ALWAYS AS
                                 (throughput_samples_per_sec::double precision
                                  * compute_miles_factor(measured_gpu_name) * 3600) STORED,

    -- How exact the throughput is: its 95 % interval, and the steps' coefficient of variation.
    throughput_low               amount,
    throughput_high              amount,
    variation_percent            amount,
    inference_images_per_sec     amount,
    -- Of a known card: the share of its arithmetic, and of what its memory allows fused kernels.
    mfu_percent                  amount,
    roofline_percent             amount,
    findings                     jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(findings) = 'array'),

    -- The conditions without which the figures mean nothing; only results of one hash may be ranked.
    configuration_hash           text CHECK (configuration_hash ~ '^[0-9a-f]{16}$'),
    configuration                jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(configuration) < 16384),
    profile                      text,
    mode                         text,
    channels_last                boolean,
    budget_seconds               amount,
    device                       text CHECK (device IN ('cuda', 'cpu')),
    precision                    text,
    model_source                 text,
    torch_version                text,
    cuda_version                 text,
    driver_version               text,
    images                       bigint,
    steps                        bigint,
    measured_seconds             amount,
    agent_sha256                 text,

    verdict                      text NOT NULL CHECK (verdict IN ('passed', 'failed', 'inconclusive')),
    evidence                     jsonb NOT NULL DEFAULT '[]',
    test_duration_seconds        amount,
    started_at                   timestamptz NOT NULL DEFAULT now(),
    completed_at                 timestamptz,
    error_message                text,
    raw_results                  jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(raw_results) < 655360),
    created_at                   timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (id, created_at),
    CHECK ((source = 'pushed') = (run_id IS NOT NULL)),
    UNIQUE (run_id, user_id, created_at),
    FOREIGN KEY (user_id, gpu_instance_id) REFERENCES gpu_instances (user_id, id) ON DELETE CASCADE,
    FOREIGN KEY (user_id, run_id, created_at) REFERENCES gpu_test_runs (user_id, id, finished_at) ON DELETE CASCADE
) PARTITION BY RANGE (created_at);
CREATE TABLE gpu_test_results_default PARTITION OF gpu_test_results DEFAULT;
CREATE INDEX gpu_test_results_instance ON gpu_test_results (gpu_instance_id, created_at DESC, id DESC);
-- For trends: read from the index alone, row security included.
CREATE INDEX gpu_test_results_trend ON gpu_test_results (gpu_instance_id, created_at DESC, id DESC)
    INCLUDE (user_id, throughput_images_per_sec) WHERE throughput_images_per_sec IS NOT NULL;
CREATE INDEX gpu_test_results_listing ON gpu_test_results (user_id, created_at DESC, id DESC);

-- Every figure of a run that ended with a result, the requested training among them. A value of null could not be
-- measured, and detail says why.
CREATE TABLE gpu_test_figures (
    run_id              uuid NOT NULL,
    seq                 bigint NOT NULL,  -- the event that told it
    user_id             uuid NOT NULL,
    instance_id         uuid NOT NULL,
    name                text NOT NULL,
    gpu_index           integer,          -- null: the whole machine's
    value               finite,
    unit                text NOT NULL DEFAULT '',
    low                 finite,           -- 95 % interval
    high                finite,
    configuration_hash  text,
    configuration       jsonb NOT NULL DEFAULT '{}',
    detail              jsonb NOT NULL DEFAULT '{}',
    measured_gpu_name   text,
    at                  timestamptz NOT NULL,
    PRIMARY KEY (run_id, seq),
    FOREIGN KEY (user_id, run_id) REFERENCES gpu_test_runs (user_id, id) ON DELETE CASCADE,
    FOREIGN KEY (user_id, instance_id) REFERENCES gpu_instances (user_id, id) ON DELETE CASCADE
);
CREATE INDEX gpu_test_figures_ranking ON gpu_test_figures (user_id, configuration_hash, name, value DESC)
    WHERE configuration_hash IS NOT NULL AND value IS NOT NULL;
CREATE INDEX gpu_test_figures_instance ON gpu_test_figures (instance_id);  -- an instance is deleted with them

-- What a GPU did while it was measured: one packed row a run and GPU (docs/agent-contract.md), and what it comes to.
CREATE TABLE gpu_test_telemetry (
    run_id            uuid NOT NULL,
    gpu_index         integer NOT NULL CHECK (gpu_index BETWEEN 0 AND 63),
    user_id           uuid NOT NULL,
    gpu_uuid          text,
    interval_seconds  amount NOT NULL,
    readings          bigint NOT NULL,
    columns           text[] NOT NULL,
    rollup            jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(rollup) < 65536),
    packed            bytea NOT NULL CHECK (length(packed) < 65536),
    PRIMARY KEY (run_id, gpu_index),
    FOREIGN KEY (user_id, run_id) REFERENCES gpu_test_runs (user_id, id) ON DELETE CASCADE
);

ALTER TABLE gpu_test_telemetry ALTER packed SET STORAGE EXTERNAL;  -- it is compressed already

-- A POST that is sent again with its Idempotency-Key is answered, not carried out, again. The row is written in the
-- transaction of what it stands for; a second request with the key waits at the primary key until that is decided.
CREATE TABLE idempotency_keys (
    user_id      uuid NOT NULL DEFAULT auth.uid() REFERENCES profiles (id) ON DELETE CASCADE,
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    fingerprint  bytea NOT NULL CHECK (length(fingerprint) = 32),  -- SHA-256 of the operation and its body
    answer       jsonb NOT NULL CHECK (pg_column_size(answer) < 65536),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_expired ON idempotency_keys (expires_at);

-- Who changed what of a supplier's, and every login to an instance; append-only, written by triggers and workers.
CREATE TABLE audit_log (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    at           timestamptz NOT NULL DEFAULT now(),
    actor        text NOT NULL,  -- session, api_key, cli, worker: what the caller signed in with
    action       text NOT NULL,  -- table and what was done: gpu_instances.insert
    subject_id   uuid,
    instance_id  uuid,
    detail       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_listing ON audit_log (user_id, id DESC);
CREATE INDEX audit_log_instance ON audit_log (instance_id, id DESC) WHERE instance_id IS NOT NULL;
CREATE INDEX audit_log_old ON audit_log (at);
CREATE INDEX audit_log_deleted ON audit_log (user_id, at)
    WHERE action IN ('gpu_instances.delete', 'gpu_test_schedules.delete');

-- ---------------------------------------------------------------------------------------------------
-- Rules on change
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION guard_run() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF OLD.finished_at IS NOT NULL AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'run % is finished (%) and never moves again', OLD.id, OLD.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.epoch < OLD.epoch OR NEW.remote_offset < OLD.remote_offset OR NEW.last_seq < OLD.last_seq THEN
        RAISE EXCEPTION 'epoch, offset and sequence of run % never go back', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard_run BEFORE UPDATE ON gpu_test_runs FOR EACH ROW EXECUTE FUNCTION guard_run();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE ON gpu_test_events FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Sealing waits for a retirement of the key under way, which counts what is sealed under it, and the other way round.
CREATE FUNCTION guard_sealed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM vault_keys WHERE key_id = NEW.key_id FOR SHARE;
    -- Another statement, so that it sees what was waited for.
    IF EXISTS (SELECT FROM vault_keys WHERE key_id = NEW.key_id AND retired_at IS NOT NULL) THEN
        RAISE EXCEPTION 'vault key % is retired', NEW.key_id USING ERRCODE = 'HX410';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard_sealed BEFORE INSERT OR UPDATE OF key_id ON gpu_credentials
    FOR EACH ROW WHEN (NEW.key_id IS NOT NULL) EXECUTE FUNCTION guard_sealed();
CREATE TRIGGER guard_sealed BEFORE INSERT OR UPDATE OF key_id ON connection_checks
    FOR EACH ROW WHEN (NEW.key_id IS NOT NULL) EXECUTE FUNCTION guard_sealed();

-- Another address or user is another machine: what was measured, which key was seen and what was left there is not
-- its own. Owned by service_role, since a supplier may write none of that.
CREATE FUNCTION readdress_instance() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.ssh_host, NEW.ssh_port, NEW.ssh_user) IS NOT DISTINCT FROM (OLD.ssh_host, OLD.ssh_port, OLD.ssh_user) THEN
        RETURN NEW;
    END IF;
    IF OLD.test_status = 'running' THEN
        RAISE EXCEPTION 'instance % is being tested', OLD.id USING ERRCODE = 'object_in_use';
    END IF;
    NEW.status := 'pending';
    NEW.test_status := 'not_started';
    NEW.tested_at := NULL;
    NEW.addressed_at := now();
    IF (NEW.ssh_host, NEW.ssh_port) IS DISTINCT FROM (OLD.ssh_host, OLD.ssh_port) THEN
        NEW.host_key := NULL;
        NEW.host_key_trust := NULL;
        NEW.host_key_seen_at := NULL;
        NEW.host_key_confirmed_at := NULL;
        NEW.host_keys_proved := NULL;
        NEW.host_key_given := nullif(NEW.host_key_given, OLD.host_key_given);  -- that was the other machine's
        NEW.host_key_offered := NULL;
        NEW.host_key_offered_at := NULL;
        NEW.lets_us_in := false;
        UPDATE gpu_test_runs SET clean_due_at = NULL WHERE instance_id = NEW.id AND clean_due_at IS NOT NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER readdress_instance BEFORE UPDATE OF ssh_host, ssh_port, ssh_user ON gpu_instances
    FOR EACH ROW EXECUTE FUNCTION readdress_instance();

-- A fingerprint that a supplier gives is the machine's, whatever was pinned before: the key on record is confirmed by it,
-- or forgotten, and then nothing else is trusted at the next contact.
CREATE FUNCTION hold_to_host_key() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.host_key_given IS NULL THEN
        RETURN NEW;
    END IF;
    IF NEW.host_key_given = ssh_fingerprint(NEW.host_key) THEN
        NEW.host_key_trust := 'given';
        NEW.host_key_confirmed_at := now();
        RETURN NEW;
    END IF;
    NEW.status := CASE NEW.status WHEN 'active' THEN 'pending' ELSE NEW.status END;
    NEW.host_key := NULL;
    NEW.host_key_trust := NULL;
    NEW.host_key_seen_at := NULL;
    NEW.host_key_confirmed_at := NULL;
    NEW.host_keys_proved := NULL;
    NEW.host_key_offered := NULL;
    NEW.host_key_offered_at := NULL;
    RETURN NEW;
END
$$;
-- Of the same moment's triggers that of another name comes first: a new address, then the key there.
CREATE TRIGGER strict_host_key BEFORE UPDATE OF host_key_given ON gpu_instances
    FOR EACH ROW EXECUTE FUNCTION hold_to_host_key();

CREATE FUNCTION bound_host_authorities() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.user_id::text, 1));  -- counted one by one
    IF (SELECT count(*) FROM host_authorities WHERE user_id = NEW.user_id) >= 32 THEN
        RAISE EXCEPTION 'there are 32 host authorities already' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER bound_host_authorities BEFORE INSERT ON host_authorities
    FOR EACH ROW EXECUTE FUNCTION bound_host_authorities();

-- A value of at most so many characters; a longer one is told as the beginning of its text.
CREATE FUNCTION cut_json(value jsonb, longest integer) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = '' AS $$
    SELECT CASE WHEN length(value::text) > longest THEN to_jsonb(left(value #>> '{}', longest) || '…') ELSE value END
$$;

-- What changed, without secrets and without what the system itself keeps up to date.
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    untold CONSTANT text[] := '{id,user_id,created_at,updated_at,status,test_status,tested_at,nonce,epoch,secret_hash,
        key_id,wrapped_key,ciphertext,next_due_at,next_fire_at,last_due_at,last_outcome,last_used_at,
        instance_status,instance_test_status,host_key_seen_at,host_key_offered_at,addressed_at,metadata,state,steps,
        probe,evidence}';
    longest CONSTANT integer := 2000;  -- characters of a value; the row that it is in has it whole
    claims CONSTANT jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) ELSE '{}' END;
    after  jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) ELSE '{}' END;
    subject jsonb := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
    told jsonb;
BEGIN
    IF TG_TABLE_NAME = 'gpu_inventory' THEN  -- its status is the supplier's word
        before := before || jsonb_build_object('item_status', before -> 'status');
        after := after || jsonb_build_object('item_status', after -> 'status');
    END IF;
    SELECT coalesce(jsonb_object_agg(
        key, CASE TG_OP WHEN 'UPDATE' THEN jsonb_build_array(cut_json(before -> key, longest), cut_json(value, longest))
                        ELSE cut_json(value, longest) END), '{}')
    INTO told
    FROM jsonb_each(CASE TG_OP WHEN 'DELETE' THEN before ELSE after END)
    WHERE NOT key = ANY (untold)
      AND CASE TG_OP WHEN 'UPDATE' THEN before -> key IS DISTINCT FROM value ELSE value <> 'null' END;
    IF TG_OP = 'UPDATE' AND told = '{}' OR subject ->> 'user_id' IS NULL
       -- With its supplier goes everything, this log too.
       OR NOT EXISTS (SELECT FROM profiles WHERE id = (subject ->> 'user_id')::uuid) THEN
        RETURN NULL;
    END IF;
    INSERT INTO audit_log (user_id, actor, action, subject_id, instance_id, detail)
    VALUES ((subject ->> 'user_id')::uuid,
            coalesce(claims ->> 'via', CASE claims ->> 'role' WHEN 'service_role' THEN 'worker' END, 'session'),
            TG_TABLE_NAME || '.' || lower(TG_OP), (subject ->> 'id')::uuid,
            CASE TG_TABLE_NAME WHEN 'gpu_instances' THEN subject ->> 'id' ELSE subject ->> 'instance_id' END::uuid, told);
    RETURN NULL;
END
$$;
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE OF ssh_host, ssh_port, ssh_user, provider, location, price_per_hour,
    listed, gpu_inventory_id, host_key, host_key_confirmed_at, host_key_given, host_keys_proved, host_key_offered ON gpu_instances
    FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT OR DELETE ON host_authorities FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT OR UPDATE OF cancel_requested_at ON gpu_test_runs
    FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE ON gpu_test_schedules FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE ON gpu_inventory FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE ON gpu_credentials FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT OR UPDATE OF revoked_at ON api_keys FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT OR UPDATE OF revoked_at ON sessions FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT ON connection_checks FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT ON performance_metrics FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON supplier_profiles FOR EACH ROW EXECUTE FUNCTION audit();

CREATE TRIGGER touch BEFORE UPDATE ON profiles FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER touch BEFORE UPDATE ON supplier_profiles FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER touch BEFORE UPDATE ON gpu_inventory FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER touch BEFORE UPDATE ON gpu_instances FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER touch BEFORE UPDATE ON gpu_test_schedules FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ---------------------------------------------------------------------------------------------------
-- Doors: what a caller may do beyond its own row rights, each with exactly one purpose.
-- They run as service_role; who may call them is granted below.
-- ---------------------------------------------------------------------------------------------------

-- When a contact that is asked for now may be made. The row's lock lets a supplier's requests pass one by one, on
-- however many servers. Raises HX429, with the seconds to wait as its detail, unless the caller waits.
CREATE FUNCTION spend_contact(p_user_id uuid, p_kind text, p_per_hour integer, p_waits boolean) RETURNS timestamptz
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    one CONSTANT interval := interval '1 hour' / p_per_hour;
    granted_at timestamptz;
BEGIN
    INSERT INTO contact_rates AS r (user_id, kind, whole_at) VALUES (p_user_id, p_kind, now() + one)
    ON CONFLICT (user_id, kind) DO UPDATE SET whole_at = greatest(r.whole_at, now()) + one
    RETURNING whole_at - interval '1 hour' INTO granted_at;
    IF granted_at > now() AND NOT p_waits THEN
        RAISE EXCEPTION 'no contact left in this hour'
            USING ERRCODE = 'HX429', DETAIL = greatest(1, ceil(extract(epoch FROM granted_at - clock_timestamp())));
    END IF;
    RETURN greatest(granted_at, now());
END
$$;

-- Ask for a run: the row and the job in one transaction. A tenant asks for its own instances;
-- a caller without a tenant must be a login that may act as service_role.
-- A machine that did not let us in the last time may be anybody's: a supplier is granted so many tests of such in an
-- hour, and whoever asks for more is refused (HX429, see spend_contact). What a schedule asks for waits for its turn.
-- Raises no_data_found for an unknown instance, unique_violation while one is unfinished.
CREATE FUNCTION request_run(
    p_instance_id uuid,
    p_requested_by text,
    p_options jsonb DEFAULT '{}',
    p_schedule_id uuid DEFAULT NULL,
    p_due_at timestamptz DEFAULT NULL,
    p_new_machines_per_hour integer DEFAULT 1000
) RETURNS gpu_test_runs LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    instance gpu_instances;
    run gpu_test_runs;
    granted_at timestamptz;
BEGIN
    SELECT * INTO instance FROM gpu_instances
    WHERE id = p_instance_id
      AND CASE WHEN auth.uid() IS NULL THEN pg_has_role(session_user, 'service_role', 'MEMBER')
               ELSE user_id = auth.uid() END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such instance' USING ERRCODE = 'no_data_found';
    END IF;
    -- The rate is locked before any instance: schedules have many requested in one transaction.
    IF NOT instance.lets_us_in AND (auth.uid() IS NOT NULL OR p_schedule_id IS NOT NULL) THEN
        granted_at := nullif(spend_contact(instance.user_id, 'machine', p_new_machines_per_hour,
                                           p_schedule_id IS NOT NULL), now());
    END IF;
    SELECT * INTO instance FROM gpu_instances WHERE id = instance.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such instance' USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO gpu_test_runs (user_id, instance_id, requested_by, options, schedule_id, due_at, not_before,
                               instance_status, instance_test_status)
    VALUES (instance.user_id, instance.id, p_requested_by, p_options, p_schedule_id, p_due_at, granted_at,
            instance.status, instance.test_status)
    RETURNING * INTO run;
    UPDATE gpu_instances SET status = 'testing', test_status = 'running', lets_us_in = false WHERE id = instance.id;
    PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
        'runs', 'execute_run', 0, instance.id::text, NULL, jsonb_build_object('run_id', run.id), run.not_before
    )::procrastinate_job_to_defer_v1]);
    RETURN run;
END
$$;

-- Cancel a run. One that no worker has begun ends here and now; for any other the wish is noted, and the worker
-- that owns it ends it on the machine first. A run that is finished stays as it is.
-- Raises no_data_found for an unknown run.
CREATE FUNCTION cancel_run(p_run_id uuid, p_error_code text, p_error_message text) RETURNS SETOF gpu_test_runs
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    run gpu_test_runs;
BEGIN
    -- The instance is locked before the run, as everywhere: request_run, and the end of a run, do so too.
    PERFORM FROM gpu_instances WHERE id = (
        SELECT instance_id FROM gpu_test_runs
        WHERE id = p_run_id
          AND CASE WHEN auth.uid() IS NULL THEN pg_has_role(session_user, 'service_role', 'MEMBER')
                   ELSE user_id = auth.uid() END)
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such run' USING ERRCODE = 'no_data_found';
    END IF;
    SELECT * INTO run FROM gpu_test_runs WHERE id = p_run_id FOR UPDATE;
    IF run.state = 'queued' THEN
        UPDATE gpu_test_runs SET state = 'cancelled', error_code = p_error_code, error_message = p_error_message,
               cancel_requested_at = now(), finished_at = now(), epoch = epoch + 1, last_seq = last_seq + 1,
               clean_due_at = CASE WHEN epoch > 0 THEN now() END  -- it was put off: a look can do no harm
        WHERE id = run.id RETURNING * INTO run;
        INSERT INTO gpu_test_events (run_id, seq, user_id, type, body)
        VALUES (run.id, run.last_seq, run.user_id, 'ended', jsonb_build_object(
            'state', 'cancelled', 'code', p_error_code, 'message', p_error_message));
        PERFORM settle_instance(run.instance_id, run.instance_status, run.instance_test_status, false, '{}');
        -- A job that waits would keep the instance's next one waiting.
        DELETE FROM procrastinate_jobs
        WHERE lock = run.instance_id::text AND status = 'todo' AND args ->> 'run_id' = run.id::text;
    ELSIF run.finished_at IS NULL AND run.cancel_requested_at IS NULL THEN
        UPDATE gpu_test_runs SET cancel_requested_at = now() WHERE id = run.id RETURNING * INTO run;
    END IF;
    RETURN NEXT run;
END
$$;

-- What the end of a test means for its instance and the inventory item that stands for it.
-- p_facts: measured ram_gb, cpu_count, disk_space_gb, cuda_version; gpu_name and gpu_count fill what nobody claimed.
CREATE FUNCTION settle_instance(
    p_instance_id uuid, p_status text, p_test_status text, p_tested boolean, p_facts jsonb
) RETURNS void LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE gpu_instances SET
        status = p_status,
        test_status = p_test_status,
        tested_at = CASE WHEN p_tested THEN now() ELSE tested_at END,
        ram_gb = coalesce((p_facts ->> 'ram_gb')::double precision, ram_gb),
        cpu_count = coalesce((p_facts ->> 'cpu_count')::integer, cpu_count),
        disk_space_gb = coalesce((p_facts ->> 'disk_space_gb')::double precision, disk_space_gb),
        cuda_version = coalesce(p_facts ->> 'cuda_version', cuda_version),
        gpu_name = coalesce(gpu_name, p_facts ->> 'gpu_name'),
        gpu_count = coalesce(gpu_count, (p_facts ->> 'gpu_count')::integer)
    WHERE id = p_instance_id;
    UPDATE gpu_inventory SET
        status = CASE p_status WHEN 'active' THEN 'active' ELSE 'inactive' END,
        gpu_model = CASE gpu_model WHEN 'Unknown' THEN coalesce(p_facts ->> 'gpu_name', gpu_model) ELSE gpu_model END
    WHERE id = (SELECT gpu_inventory_id FROM gpu_instances WHERE id = p_instance_id)
      AND p_tested AND status <> 'maintenance';
$$;

-- A result that an agent run by hand submitted, for the instance of the key that signs it.
CREATE FUNCTION submission_target(p_instance_id uuid, p_user_id uuid) RETURNS SETOF gpu_instances
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM gpu_instances WHERE id = p_instance_id AND (p_user_id IS NULL OR user_id = p_user_id)
$$;

CREATE FUNCTION apply_submission(
    p_instance_id uuid, p_user_id uuid, p_result jsonb,
    p_status text, p_test_status text, p_tested boolean, p_facts jsonb
) RETURNS gpu_test_results LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    row gpu_test_results;
BEGIN
    row := jsonb_populate_record(NULL::gpu_test_results, p_result);
    INSERT INTO gpu_test_results (
        gpu_instance_id, user_id, source, test_type, batch_size, num_epochs, image_size,
        throughput_images_per_sec, throughput_samples_per_sec, latency_ms, gpu_utilization_percent,
        memory_used_gb, memory_total_gb, power_draw_watts, temperature_celsius, accuracy, loss,
        measured_gpu_name, measured_gpu_count, verdict, evidence, test_duration_seconds,
        completed_at, error_message, cuda_version, raw_results)
    SELECT i.id, i.user_id, 'submitted', row.test_type, row.batch_size, row.num_epochs, row.image_size,
           row.throughput_images_per_sec, row.throughput_samples_per_sec, row.latency_ms, row.gpu_utilization_percent,
           row.memory_used_gb, row.memory_total_gb, row.power_draw_watts, row.temperature_celsius, row.accuracy, row.loss,
           row.measured_gpu_name, row.measured_gpu_count, row.verdict, row.evidence, row.test_duration_seconds,
           now(), row.error_message, row.cuda_version, coalesce(row.raw_results, '{}')
    FROM gpu_instances i WHERE i.id = p_instance_id AND (p_user_id IS NULL OR i.user_id = p_user_id)
    RETURNING * INTO STRICT row;
    -- What we measured or are measuring ourselves decides; a submission is then kept and changes nothing.
    IF NOT EXISTS (SELECT FROM gpu_test_runs WHERE instance_id = p_instance_id
                   AND (finished_at IS NULL OR state IN ('passed', 'failed'))) THEN
        PERFORM settle_instance(p_instance_id, p_status, p_test_status, p_tested, p_facts);
    END IF;
    RETURN row;
END
$$;

CREATE FUNCTION sign_up(p_email text, p_password_hash text) RETURNS uuid
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH profile AS (INSERT INTO profiles (email) VALUES (lower(p_email)) RETURNING id)
    INSERT INTO accounts (user_id, email, password_hash)
    SELECT id, lower(p_email), p_password_hash FROM profile RETURNING user_id
$$;

-- The seconds to live are the caller's setting; the clock is the database's.
CREATE FUNCTION open_session(p_user_id uuid, p_user_agent text, p_seconds double precision) RETURNS uuid
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO sessions (user_id, user_agent, expires_at)
    VALUES (p_user_id, left(p_user_agent, 300), now() + make_interval(secs => p_seconds)) RETURNING id
$$;

-- The supplier of a session that is neither over nor revoked, and a note that it was seen (at most one write a minute).
CREATE FUNCTION use_session(p_session_id uuid) RETURNS uuid
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE sessions SET last_seen_at = now()
    WHERE id = p_session_id AND revoked_at IS NULL AND last_seen_at < now() - interval '1 minute';
    SELECT user_id FROM sessions WHERE id = p_session_id AND revoked_at IS NULL AND expires_at > now()
$$;

-- A new password ends every session but the one that set it. The log tells of it without the hash.
CREATE FUNCTION change_password(p_user_id uuid, p_password_hash text, p_session_id uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE accounts SET password_hash = p_password_hash WHERE user_id = p_user_id;
    INSERT INTO audit_log (user_id, actor, action) VALUES (p_user_id, 'session', 'accounts.password');
    UPDATE sessions SET revoked_at = now()
    WHERE user_id = p_user_id AND revoked_at IS NULL AND id IS DISTINCT FROM p_session_id
$$;

-- The same password, hashed with the parameters of today; not where it was changed meanwhile.
CREATE FUNCTION rehash_password(p_user_id uuid, p_old_hash text, p_new_hash text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE accounts SET password_hash = p_new_hash WHERE user_id = p_user_id AND password_hash = p_old_hash
$$;

-- The seconds until something may be tried again, or 0: then it counts as failed until end_attempt says otherwise, so
-- that many at once are counted too. Each id has a number of failures that cost nothing; with every one beyond it the
-- wait after the last doubles, up to the longest. Failures of more than an hour ago are forgotten. Where the first id
-- has succeeded within 30 days, those for strangers do not count: nobody elsewhere can lock its owner out.
CREATE FUNCTION begin_attempt(
    p_ids bytea[], p_free integer[], p_longest double precision[], p_for_strangers boolean[]
) RETURNS double precision LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    known CONSTANT boolean := EXISTS (
        SELECT FROM attempts WHERE id = p_ids[1] AND succeeded_at > now() - interval '30 days');
    locked boolean := false;
    wait double precision;
BEGIN
    LOOP  -- once to refuse without writing anything, and once more with nobody else counting
        SELECT max(least(each.longest, 2 ^ least(a.failures - each.free, 30)::double precision)
                   - extract(epoch FROM clock_timestamp() - a.last_at)) INTO wait
        FROM unnest(p_ids, p_free, p_longest, p_for_strangers) AS each (id, free, longest, for_strangers)
        JOIN attempts a ON a.id = each.id AND a.last_at > clock_timestamp() - interval '1 hour'
        WHERE a.failures >= each.free AND NOT (known AND each.for_strangers);
        IF wait > 0 THEN
            RETURN wait;
        END IF;
        EXIT WHEN locked;
        INSERT INTO attempts (id) SELECT id FROM unnest(p_ids) id ORDER BY id ON CONFLICT (id) DO NOTHING;
        PERFORM FROM attempts WHERE id = ANY (p_ids) ORDER BY id FOR UPDATE;
        locked := true;
    END LOOP;
    UPDATE attempts a SET
        failures = CASE WHEN a.last_at > clock_timestamp() - interval '1 hour' THEN a.failures + 1 ELSE 1 END,
        last_at = clock_timestamp(),
        kept_until = greatest(a.kept_until, clock_timestamp() + interval '1 hour')
    FROM unnest(p_ids, p_for_strangers) AS each (id, for_strangers)
    WHERE a.id = each.id AND NOT (known AND each.for_strangers);
    RETURN 0;
END
$$;

-- How it ended well: the first id starts anew, the others take back what it had counted.
CREATE FUNCTION end_attempt(p_ids bytea[], p_for_strangers boolean[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    known CONSTANT boolean := EXISTS (
        SELECT FROM attempts WHERE id = p_ids[1] AND succeeded_at > now() - interval '30 days');
BEGIN
    PERFORM FROM attempts WHERE id = ANY (p_ids) ORDER BY id FOR UPDATE;
    UPDATE attempts a SET failures = greatest(a.failures - 1, 0)
    FROM unnest(p_ids, p_for_strangers) WITH ORDINALITY AS each (id, for_strangers, place)
    WHERE a.id = each.id AND each.place > 1 AND NOT (known AND each.for_strangers);
    INSERT INTO attempts (id, succeeded_at, kept_until) VALUES (p_ids[1], now(), now() + interval '30 days')
    ON CONFLICT (id) DO UPDATE SET
        failures = 0, succeeded_at = excluded.succeeded_at, kept_until = excluded.kept_until;
END
$$;

-- A sign-in that failed, in its account's log: the first within an hour, the tenth, the hundredth and so on. It writes
-- something whether there is such an account or not.
CREATE FUNCTION note_failed_sign_in(p_id bytea, p_email text, p_network text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO attempts AS a (id, failures, last_at) VALUES (p_id, 1, now())
    ON CONFLICT (id) DO UPDATE SET
        failures = CASE WHEN a.last_at > now() - interval '1 hour' THEN a.failures + 1 ELSE 1 END,
        last_at = now(), kept_until = now() + interval '1 hour';
    INSERT INTO audit_log (user_id, actor, action, detail)
    SELECT c.user_id, 'nobody', 'accounts.sign_in_failed', jsonb_build_object('failures', a.failures, 'network', p_network)
    FROM attempts a JOIN accounts c ON c.email = lower(p_email)
    WHERE a.id = p_id AND a.failures::text ~ '^10*$'
$$;

-- A check's job, in the transaction that wrote the check. So many are granted in an hour (HX429, see spend_contact).
CREATE FUNCTION defer_connection_check(p_check_id uuid, p_per_hour integer DEFAULT 120) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM connection_checks WHERE id = p_check_id AND user_id = auth.uid() AND state = 'queued';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such check' USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM spend_contact(auth.uid(), 'check', p_per_hour, false);
    PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
        'checks', 'check_connection', 0, NULL, NULL, jsonb_build_object('check_id', p_check_id), NULL
    )::procrastinate_job_to_defer_v1]);
END
$$;

-- A supplier says which key is the machine's, by its line or its fingerprint, so that nobody takes one that came after:
-- the one on record is confirmed, the one on offer takes its place. Raises no_data_found for any other.
CREATE FUNCTION accept_host_key(p_instance_id uuid, p_host_key text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE gpu_instances SET host_key_confirmed_at = coalesce(host_key_confirmed_at, now())
    WHERE id = p_instance_id AND user_id = auth.uid() AND p_host_key IN (host_key, host_key_fingerprint);
    IF FOUND THEN
        RETURN;
    END IF;
    -- A machine with another key is one that was not tested yet; a test that is under way settles it itself.
    UPDATE gpu_instances SET host_key = host_key_offered, host_key_trust = 'accepted', host_key_seen_at = now(),
           host_key_confirmed_at = now(), host_keys_proved = NULL, host_key_given = NULL,
           host_key_offered = NULL, host_key_offered_at = NULL,
           status = CASE status WHEN 'active' THEN 'pending' ELSE status END
    WHERE id = p_instance_id AND user_id = auth.uid() AND p_host_key IN (host_key_offered, host_key_offered_fingerprint);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such host key on offer' USING ERRCODE = 'no_data_found';
    END IF;
END
$$;

-- An instance that was checked before it was onboarded keeps the host key that the check saw, unless another fingerprint
-- was given. A supplier can't write that column, so the key is the check's own.
CREATE FUNCTION pin_checked_host_key(p_instance_id uuid, p_check_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    seen connection_checks;
BEGIN
    SELECT c.* INTO seen FROM connection_checks c JOIN gpu_instances i ON (c.ssh_host, c.ssh_port) = (i.ssh_host, i.ssh_port)
    WHERE i.id = p_instance_id AND i.user_id = auth.uid() AND i.host_key IS NULL
      AND c.id = p_check_id AND c.user_id = i.user_id AND c.host_key IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such check of this address' USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE gpu_instances SET host_key = seen.host_key, host_key_seen_at = seen.finished_at, lets_us_in = seen.state = 'passed',
           host_key_trust = CASE WHEN host_key_given IS NULL THEN 'checked' ELSE 'given' END,
           host_key_confirmed_at = CASE WHEN host_key_given IS NOT NULL THEN now() END
    WHERE id = p_instance_id AND coalesce(host_key_given = ssh_fingerprint(seen.host_key), true);
END
$$;

CREATE FUNCTION account_for_sign_in(p_email text) RETURNS TABLE (user_id uuid, password_hash text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT a.user_id, a.password_hash FROM accounts a WHERE a.email = lower(p_email)
$$;

-- A supplier of an external issuer is met for the first time. False where it is one of ours, with a password: no issuer
-- says who that is.
CREATE FUNCTION ensure_profile(p_user_id uuid, p_email text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO profiles (id, email) VALUES (p_user_id, p_email) ON CONFLICT (id) DO NOTHING;
    SELECT NOT EXISTS (SELECT FROM accounts WHERE user_id = p_user_id)
$$;

-- The key with this public id and secret, and a note that it was used (at most one write a minute). Nobody is told the
-- hash of a secret that they do not have.
CREATE FUNCTION use_api_key(p_public_id text, p_secret_hash bytea)
    RETURNS TABLE (id uuid, user_id uuid, role text, scopes text[], expires_at timestamptz, instance_id uuid)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE api_keys k SET last_used_at = now()
    WHERE k.public_id = p_public_id AND k.secret_hash = p_secret_hash AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > now())
      AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute');
    SELECT k.id, k.user_id, k.role, k.scopes, k.expires_at, k.instance_id
    FROM api_keys k WHERE k.public_id = p_public_id AND k.secret_hash = p_secret_hash AND k.revoked_at IS NULL
$$;

-- How far runs are, so that one process can wake all its watchers with one query. Tells nothing else.
CREATE FUNCTION run_heads(p_run_ids uuid[]) RETURNS TABLE (id uuid, last_seq bigint, finished boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT r.id, r.last_seq, r.finished_at IS NOT NULL FROM gpu_test_runs r WHERE r.id = ANY (p_run_ids)
$$;

-- What changed of the instances of these suppliers, so that one process can wake all its watchers with one query.
-- A mark names a state of something; which one is for whoever compares marks. Of what is stamped by its transaction's
-- start, that is everything stamped later than p_since, which therefore has to lie back longer than a transaction
-- may last. A run's request and end touch its instance; in between, its state is a mark of its own.
CREATE FUNCTION fleet_changes(p_user_ids uuid[], p_since timestamptz)
    RETURNS TABLE (user_id uuid, instance_id uuid, mark text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT i.user_id, i.id, 'instance ' || i.updated_at
    FROM gpu_instances i WHERE i.user_id = ANY (p_user_ids) AND i.updated_at > p_since
    UNION ALL
    SELECT r.user_id, r.instance_id, concat_ws(' ', 'run', r.id, r.state, r.not_before, r.cancel_requested_at)
    FROM gpu_test_runs r WHERE r.user_id = ANY (p_user_ids) AND r.finished_at IS NULL AND r.epoch > 0
    UNION ALL
    SELECT r.user_id, r.gpu_instance_id, 'result ' || r.id
    FROM gpu_test_results r WHERE r.user_id = ANY (p_user_ids) AND r.created_at > p_since
    UNION ALL
    SELECT s.user_id, s.instance_id, 'schedule ' || s.updated_at
    FROM gpu_test_schedules s WHERE s.user_id = ANY (p_user_ids) AND s.updated_at > p_since
    UNION ALL
    SELECT a.user_id, a.instance_id, 'deleted ' || a.id
    FROM audit_log a WHERE a.user_id = ANY (p_user_ids) AND a.at > p_since
      AND a.action IN ('gpu_instances.delete', 'gpu_test_schedules.delete')
$$;

-- The public listing: what anybody may know of an instance, and nothing else.
CREATE TYPE public_listing AS (
    id uuid, gpu_name text, gpu_count integer, location text, price_per_hour double precision,
    throughput_images_per_sec double precision, throughput_low double precision, throughput_high double precision,
    compute_miles_per_hour double precision, power_draw_watts double precision, measured_at timestamptz,
    tests_90d bigint, passed_90d bigint, profile text, "precision" text, batch_size integer, image_size integer, mode text,
    torch_version text, driver_version text, cuda_version text, configuration_hash text
);

-- An instance is listed while its newest test that proved something passed, also while it is tested again; tested_at is
-- that test's end, stamped with its result. Of its tests those count that proved something: what could not be measured
-- is nobody's fault. Those of another address or user are another machine's.
CREATE FUNCTION listing_of(p_instance_id uuid) RETURNS SETOF public_listing
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT i.id, coalesce(r.measured_gpu_name, CASE r.device WHEN 'cpu' THEN 'CPU' END), r.measured_gpu_count,
           i.location, i.price_per_hour, r.throughput_images_per_sec, r.throughput_low, r.throughput_high,
           r.compute_miles_per_hour, r.power_draw_watts, i.tested_at, tests.ended, tests.passed,
           r.profile, r.precision, r.batch_size, r.image_size, r.mode,
           r.torch_version, r.driver_version, r.cuda_version, r.configuration_hash
    FROM gpu_instances i
    CROSS JOIN LATERAL (
        SELECT * FROM gpu_test_results latest
        WHERE latest.gpu_instance_id = i.id AND latest.source = 'pushed' AND latest.verdict = 'passed'
          AND latest.created_at >= coalesce(i.addressed_at, '-infinity')
        ORDER BY latest.created_at DESC, latest.id DESC LIMIT 1
    ) r
    CROSS JOIN LATERAL (
        SELECT count(*) AS ended, count(*) FILTER (WHERE ran.state = 'passed') AS passed
        FROM gpu_test_runs ran
        WHERE ran.instance_id = i.id AND ran.finished_at > now() - interval '90 days' AND ran.state IN ('passed', 'failed')
          AND ran.finished_at >= coalesce(i.addressed_at, '-infinity')
    ) tests
    WHERE i.id = p_instance_id AND i.listed AND i.tested_at IS NOT NULL
      AND (i.status = 'active' OR i.status = 'testing' AND EXISTS (
          SELECT FROM gpu_test_runs ran
          WHERE ran.instance_id = i.id AND ran.finished_at IS NULL AND ran.instance_status = 'active'))
$$;

-- A page of it, the latest tested first, behind p_before and p_before_id.
CREATE FUNCTION listing_page(p_before timestamptz, p_before_id uuid, p_limit integer) RETURNS SETOF public_listing
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT each.* FROM (
        SELECT i.id, i.tested_at FROM gpu_instances i
        WHERE i.listed AND i.status IN ('active', 'testing') AND (i.tested_at, i.id) < (p_before, p_before_id)
        ORDER BY i.tested_at DESC, i.id DESC
    ) candidate CROSS JOIN LATERAL listing_of(candidate.id) each
    ORDER BY candidate.tested_at DESC, candidate.id DESC LIMIT least(p_limit, 201)
$$;

-- The keys that are known or in use, and how much each has sealed. For the program itself, when it starts.
CREATE FUNCTION vault_keys_in_use() RETURNS TABLE (
    key_id text, wrapped_key bytea, ciphertext bytea, retired_at timestamptz, credentials bigint, checks bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT key_id, k.wrapped_key, k.ciphertext, k.retired_at, coalesce(c.sealed, 0), coalesce(n.sealed, 0)
    FROM vault_keys k
    FULL JOIN (SELECT key_id, count(*) AS sealed FROM gpu_credentials WHERE key_id IS NOT NULL GROUP BY 1) c USING (key_id)
    FULL JOIN (SELECT key_id, count(*) AS sealed FROM connection_checks WHERE key_id IS NOT NULL GROUP BY 1) n USING (key_id)
    ORDER BY key_id
$$;

-- Put a key on record; with p_first only where there is none yet. Nothing happens where it is known.
CREATE FUNCTION introduce_vault_key(p_key_id text, p_wrapped_key bytea, p_ciphertext bytea, p_first boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('harborx vault keys'));
    IF NOT p_first OR NOT EXISTS (SELECT FROM vault_keys) THEN
        INSERT INTO vault_keys (key_id, wrapped_key, ciphertext) VALUES (p_key_id, p_wrapped_key, p_ciphertext)
        ON CONFLICT DO NOTHING;
    END IF;
END
$$;

-- ---------------------------------------------------------------------------------------------------
-- Months of results. These run as the owner of the tables, so that no role of ours needs to be: nobody but service_role may
-- call them, and nothing that a caller says becomes a statement.
-- ---------------------------------------------------------------------------------------------------

-- Nobody reads or writes a month but through gpu_test_results; whoever could would see as little as there.
CREATE FUNCTION guard_result_month(p_month regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, anon, authenticated, service_role, harborx_api, harborx_worker', p_month);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_month);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', p_month);
    EXECUTE format('CREATE POLICY own ON %s TO authenticated USING (user_id = (SELECT auth.uid()))'
                   ' WITH CHECK (user_id = (SELECT auth.uid()))', p_month);
END
$$;

-- Make this month, so many after it, and those whose results are in the default one, which are moved; the names of those
-- that were missing. Raises lock_not_available rather than have the API wait behind it: it is tried again soon.
CREATE FUNCTION make_result_months(p_ahead integer) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '250ms' AS $$
DECLARE
    -- The owner of a table whose row security is forced sees nothing of it, unless it is a superuser.
    blind CONSTANT boolean := row_security_active('public.gpu_test_results_default');
    columns CONSTANT text := (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = 'public.gpu_test_results'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
    month timestamp;
    name text;
    bounds text;
    made text[] := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('harborx result months'));
    IF blind THEN
        ALTER TABLE public.gpu_test_results_default NO FORCE ROW LEVEL SECURITY;
    END IF;
    FOR month IN
        SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n)
        FROM generate_series(0, least(p_ahead, 24)) n
        UNION SELECT date_trunc('month', created_at AT TIME ZONE 'UTC') FROM public.gpu_test_results_default
        WHERE isfinite(created_at) ORDER BY 1
    LOOP
        name := 'gpu_test_results_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        bounds := format('%L AND created_at < %L', month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE public.%I (LIKE public.gpu_test_results INCLUDING ALL)', name);
        EXECUTE format('WITH moved AS (DELETE FROM public.gpu_test_results_default WHERE created_at >= %1$s RETURNING %2$s)'
                       ' INSERT INTO public.%3$I (%2$s) SELECT %2$s FROM moved', bounds, columns, name);
        EXECUTE format('ALTER TABLE public.gpu_test_results ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                       name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        PERFORM guard_result_month(to_regclass('public.' || name));
        made := made || name;
    END LOOP;
    IF blind THEN
        ALTER TABLE public.gpu_test_results_default FORCE ROW LEVEL SECURITY;
    END IF;
    RETURN made;
END
$$;

-- The months that there are, with the bytes that they take, the oldest first; the default one has no begin.
CREATE FUNCTION result_months() RETURNS TABLE (name text, begins timestamptz, bytes bigint, results bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.relname::text, to_timestamp(substring(c.relname FROM '\d{4}_\d\d$') || ' +00', 'YYYY_MM TZH'),
           pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.gpu_test_results'::regclass ORDER BY 2, 1
$$;

-- Drop the oldest month that ended at least so many months ago, this one not counted; its name, or null where there is
-- none. One at a time: everybody who reads results waits for it, and so does it for them, but not long.
CREATE FUNCTION drop_result_month(p_kept integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '250ms' AS $$
DECLARE
    oldest text;
BEGIN
    SELECT m.name INTO oldest FROM result_months() m
    WHERE m.begins < (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => greatest(p_kept, 1)))
                     AT TIME ZONE 'UTC'
    ORDER BY m.begins LIMIT 1;
    IF oldest IS NOT NULL THEN
        EXECUTE format('DROP TABLE public.%I', oldest);
    END IF;
    RETURN oldest;
END
$$;

DO $doors$
DECLARE
    door text;
BEGIN
    GRANT CREATE ON SCHEMA public TO service_role;  -- only while it becomes the owner of its doors
    FOREACH door IN ARRAY ARRAY[
        'request_run(uuid, text, jsonb, uuid, timestamptz, integer)', 'cancel_run(uuid, text, text)',
        'submission_target(uuid, uuid)',
        'apply_submission(uuid, uuid, jsonb, text, text, boolean, jsonb)', 'sign_up(text, text)', 'account_for_sign_in(text)',
        'ensure_profile(uuid, text)', 'use_api_key(text, bytea)', 'run_heads(uuid[])', 'rehash_password(uuid, text, text)',
        'begin_attempt(bytea[], integer[], double precision[], boolean[])', 'end_attempt(bytea[], boolean[])', 'note_failed_sign_in(bytea, text, text)',
        'open_session(uuid, text, double precision)', 'use_session(uuid)', 'change_password(uuid, text, uuid)',
        'defer_connection_check(uuid, integer)', 'accept_host_key(uuid, text)', 'pin_checked_host_key(uuid, uuid)', 'audit()', 'readdress_instance()',
        'vault_keys_in_use()', 'introduce_vault_key(text, bytea, bytea, boolean)', 'guard_sealed()',
        'fleet_changes(uuid[], timestamptz)', 'listing_of(uuid)', 'listing_page(timestamptz, uuid, integer)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION public.%s OWNER TO service_role', door);
        EXECUTE format('REVOKE ALL ON FUNCTION public.%s FROM PUBLIC, anon, authenticated', door);
        EXECUTE format('GRANT EXECUTE ON FUNCTION public.%s TO harborx_api, service_role', door);
    END LOOP;
    REVOKE CREATE ON SCHEMA public FROM service_role;
END
$doors$;
GRANT EXECUTE ON FUNCTION request_run(uuid, text, jsonb, uuid, timestamptz, integer) TO authenticated;
GRANT EXECUTE ON FUNCTION cancel_run(uuid, text, text) TO authenticated;
GRANT EXECUTE ON FUNCTION listing_of(uuid), listing_page(timestamptz, uuid, integer) TO anon;
GRANT EXECUTE ON FUNCTION defer_connection_check(uuid, integer), accept_host_key(uuid, text), pin_checked_host_key(uuid, uuid)
    TO authenticated;
REVOKE ALL ON FUNCTION settle_instance(uuid, text, text, boolean, jsonb), spend_contact(uuid, text, integer, boolean)
    FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION settle_instance(uuid, text, text, boolean, jsonb) TO service_role;

-- ---------------------------------------------------------------------------------------------------
-- Rights and row security
-- ---------------------------------------------------------------------------------------------------

-- A Supabase database grants everything on new tables to anon and authenticated by default: take it back first.
DO $revoke$
DECLARE
    ours record;
BEGIN
    FOR ours IN
        SELECT c.relname, c.relkind FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S')
          AND (c.relname LIKE 'procrastinate%' OR c.relname LIKE 'gpu\_%' OR c.relname IN (
               'profiles', 'accounts', 'sessions', 'api_keys', 'attempts', 'supplier_profiles', 'connection_checks', 'host_authorities',
               'contact_rates', 'performance_metrics', 'idempotency_keys', 'audit_log', 'audit_log_id_seq',
               'vault_keys'))
    LOOP
        EXECUTE format('REVOKE ALL ON %s %I FROM PUBLIC, anon, authenticated',
                       CASE ours.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, ours.relname);
    END LOOP;
END
$revoke$;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO service_role;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO service_role;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO service_role;
REVOKE ALL ON FUNCTION guard_result_month(regclass), make_result_months(integer), result_months(), drop_result_month(integer)
    FROM PUBLIC, anon, authenticated, harborx_api;

GRANT SELECT ON profiles, gpu_instances, gpu_test_runs, gpu_test_events, gpu_test_results, gpu_test_firings,
                gpu_test_figures, gpu_test_telemetry, sessions, audit_log TO authenticated;
GRANT UPDATE (revoked_at) ON sessions TO authenticated;
GRANT SELECT, INSERT (user_id, key, fingerprint, answer), UPDATE (answer) ON idempotency_keys TO authenticated;
GRANT SELECT, INSERT (user_id, company_name, legal_business_name, contact_email, contact_phone, business_address,
                      authorized_signatory, signatory_title, infrastructure_description),
      UPDATE (company_name, legal_business_name, contact_email, contact_phone, business_address,
              authorized_signatory, signatory_title, infrastructure_description) ON supplier_profiles TO authenticated;
GRANT SELECT, INSERT (user_id, gpu_model, quantity, hours_available, status),
      UPDATE (gpu_model, quantity, hours_available, status, deleted_at), DELETE ON gpu_inventory TO authenticated;
-- Its id decides when it fires (its jitter), so it is known beforehand.
GRANT SELECT, INSERT (id, user_id, instance_id, every_hours, cron, timezone, jitter_seconds, misfire, enabled, options,
                      next_due_at, next_fire_at),
      UPDATE (every_hours, cron, timezone, jitter_seconds, misfire, enabled, options, next_due_at, next_fire_at), DELETE
    ON gpu_test_schedules TO authenticated;
GRANT SELECT, INSERT (user_id, gpu_inventory_id, compute_hours, uptime_percentage, recorded_at)
    ON performance_metrics TO authenticated;

-- A supplier describes a machine; what became of its tests is not the supplier's to write.
GRANT INSERT (user_id, gpu_inventory_id, vast_instance_id, vast_offer_id, vast_machine_id, provider, location,
              price_per_hour, ssh_host, ssh_port, ssh_user, host_key_given, gpu_name, gpu_count, cuda_version, disk_space_gb,
              cpu_count, ram_gb, metadata) ON gpu_instances TO authenticated;
GRANT UPDATE (gpu_inventory_id, provider, location, price_per_hour, listed, metadata, ssh_host, ssh_port, ssh_user,
              host_key_given) ON gpu_instances TO authenticated;
GRANT DELETE ON gpu_instances TO authenticated;
GRANT SELECT, INSERT (user_id, hosts, public_key, fingerprint), DELETE ON host_authorities TO authenticated;

-- Secrets go in and do not come out. What is sealed is bound to its row, whose id is known beforehand.
GRANT INSERT (id, user_id, instance_id, kind, public_key, fingerprint, key_id, wrapped_key, ciphertext)
    ON gpu_credentials TO authenticated;
GRANT SELECT (id, user_id, instance_id, kind, public_key, fingerprint, created_at) ON gpu_credentials TO authenticated;
GRANT INSERT (user_id, name, public_id, secret_hash, scopes, expires_at, instance_id, made_by) ON api_keys
    TO authenticated;
GRANT SELECT (id, user_id, role, name, public_id, scopes, expires_at, revoked_at, last_used_at, created_at, instance_id,
              made_by) ON api_keys TO authenticated;
GRANT UPDATE (revoked_at) ON api_keys TO authenticated;
GRANT INSERT (id, user_id, ssh_host, ssh_port, ssh_user, login, key_id, wrapped_key, ciphertext)
    ON connection_checks TO authenticated;
GRANT SELECT (id, user_id, ssh_host, ssh_port, ssh_user, login, state, host_key, steps, probe, error_code, error_message,
              evidence, created_at, finished_at) ON connection_checks TO authenticated;

-- A temporary table would stand before ours for whoever gets the connection next.
DO $temporary$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$temporary$;

DO $security$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'profiles', 'accounts', 'attempts', 'sessions', 'api_keys', 'supplier_profiles', 'gpu_inventory', 'gpu_instances',
        'gpu_credentials', 'host_authorities', 'connection_checks', 'contact_rates', 'audit_log', 'performance_metrics', 'gpu_test_schedules', 'gpu_test_firings', 'gpu_test_runs', 'gpu_test_events',
        'gpu_test_results', 'gpu_test_figures', 'gpu_test_telemetry', 'idempotency_keys', 'vault_keys'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY service ON %I TO service_role USING (true) WITH CHECK (true)', tenant_table);
        IF tenant_table = 'profiles' THEN
            CREATE POLICY own ON profiles TO authenticated USING (id = (SELECT auth.uid()));
        ELSIF tenant_table NOT IN ('accounts', 'attempts', 'vault_keys') THEN  -- these are reached through doors only
            EXECUTE format('CREATE POLICY own ON %I TO authenticated USING (user_id = (SELECT auth.uid()))'
                           ' WITH CHECK (user_id = (SELECT auth.uid()))', tenant_table);
        END IF;
    END LOOP;
END
$security$;

SELECT guard_result_month('gpu_test_results_default');
SELECT make_result_months(3);

-- ---------------------------------------------------------------------------------------------------
-- The version of this file: raised with every change of it.
-- ---------------------------------------------------------------------------------------------------

-- ---------------------------------------------------------------------------------------------------
-- The engine's queue, when many wait in it.
-- ---------------------------------------------------------------------------------------------------

-- Whether a job's lock is held is asked for each job that is looked at: without this, by reading an index of all of them.
CREATE INDEX procrastinate_jobs_lock_first ON procrastinate_jobs (lock) WHERE status IN ('todo', 'doing');
-- The first job is wanted, and not all of them in order: the planner, told nothing of a queue that just filled, sorts them all.
ALTER FUNCTION procrastinate_fetch_job_v2(varchar[], bigint) SET enable_sort = off;
ALTER FUNCTION procrastinate_fetch_job_v2(varchar[], bigint) SET enable_bitmapscan = off;

CREATE TABLE harborx_schema (
    version     integer NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO harborx_schema (version) VALUES (6);
REVOKE ALL ON harborx_schema FROM PUBLIC, anon, authenticated;
GRANT SELECT ON harborx_schema TO harborx_api, service_role;
