-- Of tables whose rows are changed, and of the partitions below, what decides how: the replica identity where a publication keeps
-- rows from being deleted without one (d is the default, n is none, i an index that is gone), and whether a foreign key of another table points there.
-- $1 and $2: schemas and names of the tables.
with recursive below as (
    select c.oid as root, c.oid
      from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as named (schema, name)
      join pg_catalog.pg_namespace n on n.nspname = named.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = named.name
     union
    select below.root, i.inhrelid
      from below
      join pg_catalog.pg_inherits i on i.inhparent = below.oid
      join pg_catalog.pg_class p on p.oid = i.inhparent and p.relkind = 'p'
)
select rn.nspname::text as root_schema,
       rc.relname::text as root_name,
       n.nspname::text as schema,
       c.relname::text as name,
       c.relreplident::text as identity,
       c.relkind = 'r'
       and exists (select from pg_catalog.pg_publication)
       and (c.relreplident = 'n'
            or (c.relreplident = 'd'
                and not exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary))
            or (c.relreplident = 'i'
                and not exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisreplident))) as unidentified,
       exists (select
                 from pg_catalog.pg_constraint k
                where k.contype = 'f'
                  and k.confrelid = c.oid
                  and not exists (select from below o where o.root = below.root and o.oid = k.conrelid)) as referenced
  from below
  join pg_catalog.pg_class c on c.oid = below.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_class rc on rc.oid = below.root
  join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
 order by 1, 2, 3, 4;
