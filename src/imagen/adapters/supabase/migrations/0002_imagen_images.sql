-- The images that have a copy in the bucket: one row for each. Safe to run again.
begin;

create schema if not exists imagen;
revoke all on schema imagen from public;
grant usage on schema imagen to service_role, authenticated;

create table if not exists imagen.images (
  id            uuid        primary key,  -- assigned by imagen, as in the sidecar: no default
  owner_user_id uuid        not null references auth.users (id),  -- users with images cannot be deleted
  created_at    timestamptz not null,
  prompt        text        not null,
  prompt_sha256 text        not null,
  backend       text        not null,
  model         text        not null,
  seed          numeric(20),
  steps         integer,
  width         integer     not null,
  height        integer     not null,
  latency_ms    bigint      not null,
  cost_usd      numeric(19, 6),           -- null: unknown
  storage_path  text        not null,
  mime_type     text        not null,
  bytes         bigint      not null,
  sha256        text        not null,
  sidecar       jsonb       not null,
  tags          text[]      not null default '{}',
  -- OWNER_USER_ID/ID-SLUG.EXT: in the owner's folder, which the bucket's policy checks,
  -- and different for each row.
  constraint images_storage_path check (
    starts_with(storage_path, owner_user_id || '/' || id || '-')
    and storage_path !~ '/.*/'
  ),
  constraint images_prompt check (prompt_sha256 ~ '^[0-9a-f]{64}$'),
  constraint images_size check (width > 0 and height > 0),
  constraint images_latency check (latency_ms >= 0),
  constraint images_cost check (cost_usd >= 0),
  constraint images_bytes check (bytes > 0),
  constraint images_sha256 check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint images_sidecar check (jsonb_typeof(sidecar) = 'object')
);

create index if not exists images_newest
  on imagen.images (owner_user_id, created_at desc, id desc);

-- Owners read their own rows; only service_role adds rows; no role of the API changes or
-- deletes them.
alter table imagen.images enable row level security;
drop policy if exists images_owner_reads on imagen.images;
create policy images_owner_reads on imagen.images
  for select to authenticated
  using (owner_user_id = (select auth.uid()));  -- evaluated once, not for each row
revoke all on imagen.images from public, anon, authenticated, service_role;
grant select on imagen.images to authenticated;
grant select, insert on imagen.images to service_role;

-- The access rules, as `imagen config validate --online` reads them:
--   {"open": [], "images": true, "files": true, "loose": []}
-- `open` lists the tables without row-level security; `images` and `files` tell whether a
-- policy lets owners read their own; `loose` lists the project's other policies that apply
-- to every bucket, unless a restrictive policy excludes imagen's bucket.
create or replace function imagen.imagen_privacy()
returns json
language sql
stable
set search_path = ''
as $$
  with policy as (
    select tablename, policyname, permissive = 'PERMISSIVE' as opens,
           cmd in ('SELECT', 'ALL') as reads, concat(qual, with_check) as rule
      from pg_catalog.pg_policies
     where (schemaname, tablename) in (('imagen', 'images'), ('storage', 'objects'))
       and roles && array['public', 'anon', 'authenticated']::name[]
  ), file_policy as (
    select policyname, opens, reads,
           rule like '%imagen-generated%' as is_ours, rule like '%bucket_id%' as is_of_one
      from policy
     where tablename = 'objects'
  )
  select json_build_object(
    'open', (
      select coalesce(json_agg(spaces.nspname || '.' || tables.relname), '[]')
        from pg_catalog.pg_class as tables
        join pg_catalog.pg_namespace as spaces on spaces.oid = tables.relnamespace
       where (spaces.nspname, tables.relname) in
               (('mai', 'imagen_usage'), ('imagen', 'images'), ('storage', 'objects'))
         and not tables.relrowsecurity
    ),
    'images', exists (select from policy where tablename = 'images' and opens and reads),
    'files', exists (select from file_policy where is_ours and opens and reads),
    'loose', (
      select coalesce(json_agg(policyname), '[]')
        from file_policy
       where opens and not is_of_one
         and not exists (select from file_policy where not opens and is_ours)
    )
  )
$$;

revoke all on function imagen.imagen_privacy() from public, anon, authenticated;
grant execute on function imagen.imagen_privacy() to service_role;

notify pgrst, 'reload schema';
commit;
