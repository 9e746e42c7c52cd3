-- Triggers of users that would fire when tables are emptied and loaded anew: on them, on the partitioned tables above and on the
-- partitions below. Of a trigger that partitions have inherited, only the topmost. Not those of extensions.
-- $1 and $2: schemas and names of the tables.
with recursive wanted as (
    select c.oid
      from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as named (schema, name)
      join pg_catalog.pg_namespace n on n.nspname = named.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = named.name
), above as (
    select oid from wanted
     union
    select i.inhparent
      from above
      join pg_catalog.pg_inherits i on i.inhrelid = above.oid
), below as (
    select oid from wanted
     union
    select i.inhrelid
      from below
      join pg_catalog.pg_inherits i on i.inhparent = below.oid
), tree as (
    select oid from above union select oid from below
)
select n.nspname::text as schema, c.relname::text as name, t.tgname::text as trigger_name
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_class c on c.oid = t.tgrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where t.tgrelid in (select oid from tree)
   and not t.tgisinternal
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
                      and d.objid = t.oid
                      and (d.deptype = 'e' or d.refclassid = 'pg_catalog.pg_trigger'::pg_catalog.regclass))
 order by 1, 2, 3;
