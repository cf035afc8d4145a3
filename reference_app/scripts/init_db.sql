-- The schema of the ERNI Building Agents, loaded once into an empty database.
-- Plain SQL, so that any client can send it. A second run of the whole file fails at the first trigger, by design:
-- with stop-on-error that tells a loaded database from an empty one.

CREATE EXTENSION IF NOT EXISTS "uuid-ossp";

CREATE TABLE IF NOT EXISTS conversations (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    user_name text,
    current_agent text,
    message_count integer NOT NULL DEFAULT 0 CHECK (message_count >= 0),
    context jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- message_id is the client's own id: its uniqueness is what applies a repeated request once. Answers have none; they
-- name the message that they reply to, and each message has one answer.
CREATE TABLE IF NOT EXISTS messages (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    message_id text UNIQUE,
    in_reply_to text UNIQUE REFERENCES messages (message_id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('user', 'assistant')),
    agent_name text,
    content text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((role = 'user') = (message_id IS NOT NULL)),
    CHECK ((role = 'assistant') = (in_reply_to IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (conversation_id, created_at);

CREATE TABLE IF NOT EXISTS projects (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    name text NOT NULL,
    kind text NOT NULL,
    location text,
    status text NOT NULL DEFAULT 'planned' CHECK (status IN ('planned', 'running', 'finished', 'cancelled')),
    floor_area_m2 numeric(10, 2) CHECK (floor_area_m2 > 0),
    details jsonb NOT NULL DEFAULT '{}',
    starts_on date,
    ends_on date,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_on >= starts_on)
);

CREATE TABLE IF NOT EXISTS consultations (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    conversation_id uuid REFERENCES conversations (id) ON DELETE SET NULL,
    project_id uuid REFERENCES projects (id) ON DELETE SET NULL,
    specialist text NOT NULL,
    scheduled_for timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'requested' CHECK (status IN ('requested', 'confirmed', 'held', 'cancelled')),
    notes text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS consultations_by_time ON consultations (scheduled_for);

CREATE TABLE IF NOT EXISTS cost_estimates (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    conversation_id uuid REFERENCES conversations (id) ON DELETE SET NULL,
    project_id uuid REFERENCES projects (id) ON DELETE SET NULL,
    amount numeric(14, 2) NOT NULL CHECK (amount >= 0),
    currency char(3) NOT NULL DEFAULT 'CHF',
    breakdown jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS cost_estimates_by_project ON cost_estimates (project_id, created_at);

CREATE TABLE IF NOT EXISTS audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor text NOT NULL,
    action text NOT NULL,
    subject_table text,
    subject_id uuid,
    details jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS audit_log_by_time ON audit_log (created_at);

CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END
$$;

CREATE TRIGGER conversations_updated_at BEFORE UPDATE ON conversations
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER projects_updated_at BEFORE UPDATE ON projects
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER consultations_updated_at BEFORE UPDATE ON consultations
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER cost_estimates_updated_at BEFORE UPDATE ON cost_estimates
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
