-- What the schema of the ledger says of itself: of one that is still to become a ledger, which run it is of.
select pg_catalog.obj_description(n.oid, 'pg_namespace') as said
  from pg_catalog.pg_namespace n
 where n.nspname = 'pgconvoy'
   and not exists (select from pg_catalog.pg_class c where c.relnamespace = n.oid);
