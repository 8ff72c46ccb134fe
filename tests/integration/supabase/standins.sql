-- What every Supabase project has before anybody does anything to it, as far as imagen
-- comes across it. Only for a database of the tests; run by its superuser.

-- `postgres` is no superuser there. It is let write policies for storage.objects, which
-- it does not own, by an extension; here by belonging to the role that does.
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role supabase_storage_admin nologin noinherit;
create role authenticator login noinherit;
create role postgres login createrole createdb bypassrls;
grant anon, authenticated, service_role to authenticator, postgres;
grant supabase_storage_admin to postgres;
alter role authenticator set statement_timeout = '8s';
alter database postgres owner to postgres;

create schema auth;
grant usage on schema auth to postgres, anon, authenticated, service_role;
create table auth.users (
  id         uuid primary key,
  email      text unique,
  created_at timestamptz not null default now()
);
grant all on auth.users to postgres;
create function auth.uid() returns uuid language sql stable as $$
  select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

create schema storage authorization supabase_storage_admin;
grant usage on schema storage to anon, authenticated, service_role;
set role supabase_storage_admin;
create table storage.buckets (
  id                 text primary key,
  name               text not null unique,
  public             boolean default false,
  file_size_limit    bigint,
  allowed_mime_types text[],
  created_at         timestamptz default now(),
  updated_at         timestamptz default now()
);
create table storage.objects (
  id            uuid primary key default gen_random_uuid(),
  bucket_id     text references storage.buckets (id),
  name          text,
  owner_id      text,
  metadata      jsonb,
  user_metadata jsonb,
  version       text default gen_random_uuid(),
  created_at    timestamptz default now(),
  updated_at    timestamptz default now(),
  unique (bucket_id, name)
);
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
grant all on storage.buckets, storage.objects to anon, authenticated, service_role;
create function storage.foldername(name text) returns text[] language sql immutable as $$
  select parts[1 : array_length(parts, 1) - 1] from string_to_array(name, '/') as parts
$$;
reset role;
