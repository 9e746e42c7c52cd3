-- Constraints of the target that are in the way of loading tables anew: foreign keys from and to them, and checks that
-- are not valid; besides them, every foreign key that nobody has validated, and every check of a domain that is not valid, since a
-- value may be of it wherever it stands. Not those of extensions: nobody would make them again.
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
select 'table'::text as kind, n.nspname::text as schema, c.relname::text as name, con.conname::text as constraint_name
  from pg_catalog.pg_constraint con
  join pg_catalog.pg_class c on c.oid = con.conrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where con.coninhcount = 0
   and (   (con.contype = 'f' and (   not con.convalidated
                                   or con.conrelid in (select oid from tree)
                                   or con.confrelid in (select oid from tree)))
        or (con.contype in ('c', 'n') and not con.convalidated and con.conrelid in (select oid from tree)))
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                      and d.objid = con.conrelid
                      and d.deptype = 'e')
 union all
select 'domain'::text, n.nspname::text, t.typname::text, con.conname::text
  from pg_catalog.pg_constraint con
  join pg_catalog.pg_type t on t.oid = con.contypid
  join pg_catalog.pg_namespace n on n.oid = t.typnamespace
 where con.contype = 'c'
   and not con.convalidated
   and n.nspname !~ '^pg_'
   and n.nspname <> 'information_schema'
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                      and d.objid = con.contypid
                      and d.deptype = 'e')
 order by 1, 2, 3, 4;
