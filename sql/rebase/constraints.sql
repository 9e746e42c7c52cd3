-- Constraints of the target that are in the way of loading tables anew: foreign keys from and to them, and checks that
-- are not valid; besides them, every foreign key that nobody has validated. $1 and $2: schemas and names of the tables.
with recursive above as (
    select c.oid
      from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as wanted (schema, name)
      join pg_catalog.pg_namespace n on n.nspname = wanted.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
     union
    select i.inhparent
      from above
      join pg_catalog.pg_inherits i on i.inhrelid = above.oid
)
select n.nspname::text as schema, c.relname::text as name, con.conname::text as constraint_name
  from pg_catalog.pg_constraint con
  join pg_catalog.pg_class c on c.oid = con.conrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where con.coninhcount = 0
   and (   (con.contype = 'f' and (   not con.convalidated
                                   or con.conrelid in (select oid from above)
                                   or con.confrelid in (select oid from above)))
        or (con.contype = 'c' and not con.convalidated and con.conrelid in (select oid from above)))
 order by 1, 2, 3;
