-- Tables whose row security holds for their owner as well, who then cannot load them. $1 and $2: schemas and names of the tables.
select n.nspname::text as schema, c.relname::text as name
  from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as wanted (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = wanted.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
 where c.relforcerowsecurity;
