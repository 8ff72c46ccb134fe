-- The shared ledger: one row for every call that cost money, or may have.
-- Safe to run again.
begin;

create schema if not exists mai;
-- A new schema grants no rights to the API's roles, not even to service_role: bypassing
-- row-level security does not replace a grant.
revoke all on schema mai from public;
grant usage on schema mai to service_role;

create table if not exists mai.imagen_usage (
  id            uuid           primary key,  -- assigned before the first attempt: no default
  created_at    timestamptz    not null,
  caller        text           not null,     -- '' if unknown
  backend       text           not null,
  adapter       text           not null,
  model         text           not null,
  status        text           not null,
  latency_ms    bigint,                      -- null: the end was not observed
  images        integer        not null,
  cost_usd      numeric(19, 6),              -- null: unknown; 0: free
  cost_source   text           not null,
  prompt_sha256 text           not null,     -- never the prompt
  constraint imagen_usage_status check (status in ('ok', 'failed', 'cancelled', 'unknown')),
  constraint imagen_usage_latency check (latency_ms >= 0),
  constraint imagen_usage_images check (images >= 0),
  constraint imagen_usage_cost check (cost_usd >= 0),
  constraint imagen_usage_cost_source
    check (cost_source in ('reported', 'metered', 'price_table', 'unknown')),
  constraint imagen_usage_prompt check (prompt_sha256 ~ '^[0-9a-f]{64}$')
);

create index if not exists imagen_usage_newest on mai.imagen_usage (created_at desc, id desc);

-- No policy: only service_role, which bypasses them, can read and add rows. No role of
-- the API can change or delete a row.
alter table mai.imagen_usage enable row level security;
revoke all on mai.imagen_usage from public, anon, authenticated, service_role;
grant select, insert on mai.imagen_usage to service_role;

-- The totals of the rows, grouped by any of week, backend, model and caller. One JSON
-- value, because the API cuts off a list of rows at 1000 without an error:
--   [{"week": "2026-W47", "backend": "flux", "calls": 3, "images": 5,
--     "cost_micros": 150000, "unknown": 1}, ...]
-- Weeks are ISO 8601 weeks in UTC. `cost_micros` is the sum of the known costs, in
-- millionths of a dollar; `unknown` is the number of rows with an unknown cost.
create or replace function mai.imagen_usage_report(by text[] default '{}', since date default null)
returns json
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
  name text;
  columns text := '';
  keys text := '';
  report json;
begin
  -- Dynamic SQL takes half the time of one query that can group by any column.
  foreach name in array by loop
    case name
      when 'week' then
        columns := columns || 'to_char(date_trunc(''week'', created_at), ''IYYY"-W"IW'') as week, ';
        keys := keys || ', date_trunc(''week'', created_at)';
      when 'backend', 'model', 'caller' then
        columns := columns || name || ', ';
        keys := keys || ', ' || name;
      else
        raise exception 'Rows cannot be grouped by %.', name using errcode = '22023';
    end case;
  end loop;
  execute format(
    'select coalesce(json_agg(total), ''[]'')
       from (select %s count(*) as calls,
                    sum(images) as images,
                    round(coalesce(sum(cost_usd), 0) * 1000000) as cost_micros,
                    count(*) - count(cost_usd) as unknown
               from mai.imagen_usage
              where created_at >= $1
              group by ()%s
             having count(*) > 0) as total',
    columns, keys)
  into report
  using coalesce(since, '-infinity');
  return report;
end
$$;

revoke all on function mai.imagen_usage_report(text[], date) from public, anon, authenticated;
grant execute on function mai.imagen_usage_report(text[], date) to service_role;

notify pgrst, 'reload schema';
commit;
