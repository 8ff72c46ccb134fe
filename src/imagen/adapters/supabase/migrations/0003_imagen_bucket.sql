-- The private bucket for the images. Safe to run again.
begin;

insert into storage.buckets (id, name, public, allowed_mime_types)
values (
  'imagen-generated', 'imagen-generated', false,
  array['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/avif',
    'image/svg+xml']
)
on conflict (id) do update
  set public = excluded.public, allowed_mime_types = excluded.allowed_mime_types;

commit;
