-- The read access to the bucket. Safe to run again. In a file of its own, because
-- storage.objects belongs to Supabase: if a project refuses this file, everything else is
-- set up already, and docs/supabase.md describes how to create the policy by hand. (For
-- the same reason there is no comment, trigger or ALTER TABLE here.)
begin;

drop policy if exists imagen_generated_owner_reads on storage.objects;
create policy imagen_generated_owner_reads on storage.objects
  for select to authenticated
  using (
    bucket_id = 'imagen-generated'
    and (storage.foldername(name))[1] = (select auth.uid())::text
  );

-- An existing policy of the project may apply to every bucket. This excludes imagen's.
drop policy if exists imagen_generated_owner_only on storage.objects;
create policy imagen_generated_owner_only on storage.objects
  as restrictive to anon, authenticated
  using (
    bucket_id <> 'imagen-generated'
    or (storage.foldername(name))[1] = (select auth.uid())::text
  );

commit;
