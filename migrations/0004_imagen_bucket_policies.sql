-- Who reads from the bucket. Safe to run twice. A file of its own: storage.objects is not
-- ours, and a project that refuses this has all the rest already; docs/supabase.md says
-- how to do it by hand. (So no comment, no trigger and no ALTER TABLE here.)
begin;

drop policy if exists imagen_generated_owner_reads on storage.objects;
create policy imagen_generated_owner_reads on storage.objects
  for select to authenticated
  using (
    bucket_id = 'imagen-generated'
    and (storage.foldername(name))[1] = (select auth.uid())::text
  );

-- A policy that the project already has may be about every bucket. Not about this one.
drop policy if exists imagen_generated_owner_only on storage.objects;
create policy imagen_generated_owner_only on storage.objects
  as restrictive to anon, authenticated
  using (
    bucket_id <> 'imagen-generated'
    or (storage.foldername(name))[1] = (select auth.uid())::text
  );

commit;
