-- What would fire when rows of tables are changed: triggers that somebody has made, and rules; on the tables, and on the partitions
-- below. In what state each is: O fires usually, R for replication, A always, D never. (Before 15, a partition's copy of a
-- trigger counts as the server's own, also of a constraint trigger, which is a constraint of kind t.) And triggers of foreign keys that
-- somebody has made to fire for replication: they would cascade. $1 and $2: schemas and names of the tables.
with recursive below as (
    select c.oid
      from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as named (schema, name)
      join pg_catalog.pg_namespace n on n.nspname = named.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = named.name
     union
    select i.inhrelid
      from below
      join pg_catalog.pg_inherits i on i.inhparent = below.oid
      join pg_catalog.pg_class p on p.oid = i.inhparent and p.relkind = 'p'
)
select n.nspname::text as schema,
       c.relname::text as name,
       'trigger'::text as kind,
       t.tgname::text as part,
       t.tgenabled::text as state,
       t.tgisinternal as internal
  from below
  join pg_catalog.pg_class c on c.oid = below.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_trigger t on t.tgrelid = c.oid
 where not t.tgisinternal
    or (t.tgconstraint = 0 and c.relispartition)
    or exists (select
                 from pg_catalog.pg_constraint k
                where k.oid = t.tgconstraint
                  and (k.contype = 't' or (k.contype = 'f' and t.tgenabled in ('A', 'R'))))
 union all
select n.nspname::text,
       c.relname::text,
       'rule'::text,
       r.rulename::text,
       r.ev_enabled::text,
       false
  from below
  join pg_catalog.pg_class c on c.oid = below.oid and c.relkind in ('r', 'p')
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_rewrite r on r.ev_class = c.oid
 order by 1, 2, 3, 4;
