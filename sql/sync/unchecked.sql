-- Checks that hold for what is written and not for what was there already (NOT VALID), of tables whose rows are changed, and of the
-- domains of their columns: the statements that take each away and make it again. As far as it can be made again as it was: one that
-- children have is the same on all of them, and has come to them from the table above. With each, the tables that its statements close
-- to everybody, and the question that tells, on the source, whether rows there violate it: none where the answer could be another while
-- rows are being written, because a function of somebody's is called. $1 and $2: schemas and names of the tables.
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
), above as (
    select oid, oid as relid from below
     union
    select above.oid, i.inhparent
      from above
      join pg_catalog.pg_inherits i on i.inhrelid = above.relid
), of_tables as (
    select k.oid, k.conname, k.contype, k.conrelid, k.conkey, k.conbin, k.connoinherit
      from pg_catalog.pg_constraint k
      join pg_catalog.pg_class c on c.oid = k.conrelid
     where k.contype in ('c', 'n')
       and not k.convalidated
       and coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true)
       and k.coninhcount = 0
       and (k.conrelid in (select oid from below) or (not k.connoinherit and k.conrelid in (select relid from above)))
       and c.relkind in ('r', 'p')
       and pg_catalog.pg_has_role(c.relowner, 'USAGE')
), children as (
    select k.oid as constraint_oid, i.inhrelid as relid
      from of_tables k
      join pg_catalog.pg_inherits i on i.inhparent = k.conrelid
     where not k.connoinherit
     union
    select children.constraint_oid, i.inhrelid
      from children
      join pg_catalog.pg_inherits i on i.inhparent = children.relid
), types as (
    select a.atttypid as oid
      from pg_catalog.pg_attribute a
     where a.attrelid in (select oid from below)
       and a.attnum > 0
       and not a.attisdropped
     union
    select part.oid
      from types
      join pg_catalog.pg_type t on t.oid = types.oid
      cross join lateral (
          select t.typbasetype as oid
           union all
          select t.typelem
           union all
          select r.rngsubtype from pg_catalog.pg_range r where t.oid in (r.rngtypid, (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid)
           union all
          select a.atttypid from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
      ) part
     where part.oid <> 0
)
select closed.schemas as closed_schemas,
       closed.names as closed_names,
       asked.question,
       pg_catalog.format('alter table %I.%I drop constraint %I', n.nspname, c.relname, k.conname) as drop_statement,
       pg_catalog.format('alter table %I.%I add constraint %I %s', n.nspname, c.relname, k.conname, pg_catalog.pg_get_constraintdef(k.oid)) as add_statement,
       pg_catalog.format('comment on constraint %I on %I.%I is %L', k.conname, n.nspname, c.relname, pg_catalog.obj_description(k.oid, 'pg_constraint')) as comment_statement
  from of_tables k
  join pg_catalog.pg_class c on c.oid = k.conrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 cross join lateral (
     select pg_catalog.array_agg(ln.nspname::text order by l.oid) as schemas,
            pg_catalog.array_agg(l.relname::text order by l.oid) as names
       from pg_catalog.pg_class l
       join pg_catalog.pg_namespace ln on ln.oid = l.relnamespace
      where l.oid = k.conrelid
         or l.oid in (select children.relid from children where children.constraint_oid = k.oid)
 ) closed
 cross join lateral (
     select 'select pg_catalog.count(*) from (values (true)) as once (here) where '
            || pg_catalog.string_agg(
                   pg_catalog.format('exists (select from only %I.%I where not (%s))', ln.nspname, l.relname,
                                     case k.contype
                                         when 'c' then pg_catalog.pg_get_expr(k.conbin, k.conrelid)
                                         else (select pg_catalog.format('%I is not null', a.attname)
                                                 from pg_catalog.pg_attribute a
                                                where a.attrelid = k.conrelid and a.attnum = k.conkey[1])
                                     end),
                   ' or ' order by l.oid) as question
       from pg_catalog.pg_class l
       join pg_catalog.pg_namespace ln on ln.oid = l.relnamespace
      where l.relkind = 'r'
        and l.oid in (select oid from below)
        and (l.oid = k.conrelid
             or l.oid in (select children.relid from children where children.constraint_oid = k.oid))
        and not exists (select
                          from pg_catalog.pg_depend d
                         where d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
                           and d.objid = k.oid
                           and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass))
 ) asked
 where case k.contype
           when 'c' then
               not exists (select
                             from children
                             join pg_catalog.pg_constraint i on i.conrelid = children.relid and i.contype = 'c' and i.conname = k.conname
                            where children.constraint_oid = k.oid
                              and (i.conislocal
                                   or i.convalidated
                                   or i.coninhcount > 1
                                   or pg_catalog.obj_description(i.oid, 'pg_constraint') is not null))
           -- Its name may be another on each of them; and what identifies rows must not be without it.
           else not exists (select from children where children.constraint_oid = k.oid)
                and c.relreplident <> 'i'
       end
 union all
select '{}'::text[],
       '{}'::text[],
       null::text,
       pg_catalog.format('alter domain %I.%I drop constraint %I', n.nspname, t.typname, k.conname),
       pg_catalog.format('alter domain %I.%I add constraint %I %s', n.nspname, t.typname, k.conname, pg_catalog.pg_get_constraintdef(k.oid)),
       pg_catalog.format('comment on constraint %I on domain %I.%I is %L', k.conname, n.nspname, t.typname, pg_catalog.obj_description(k.oid, 'pg_constraint'))
  from pg_catalog.pg_constraint k
  join pg_catalog.pg_type t on t.oid = k.contypid
  join pg_catalog.pg_namespace n on n.oid = t.typnamespace
 where k.contype = 'c'
   and not k.convalidated
   and t.oid in (select oid from types)
   and pg_catalog.pg_has_role(t.typowner, 'USAGE')
 order by 4;
