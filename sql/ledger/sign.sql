-- What the schema of the ledger says of itself: of a sign (catalog/ledger_schema.sql), which run it is of.
select pg_catalog.obj_description(n.oid, 'pg_namespace') as said
  from pg_catalog.pg_namespace n
 where n.nspname = 'pgconvoy';
