-- Foreign keys from and to tables whose rows are changed, as far as they are valid and not inherited: the question that counts rows
-- that point nowhere (of one with PERIOD, whose period is not covered by those rows together that it overlaps), and the statements that
-- take it away and make it again: with its triggers in their usual state, whatever that was. Partitions get it with it, under its name;
-- one that has it under another is given that first, and the server then takes it for the same (which is not counted on before version 12).
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
), inherited as (
    select k.oid,
           k.conrelid,
           k.confrelid,
           k.conname,
           (pg_catalog.to_jsonb(k) ->> 'conparentid')::oid as parent,
           exists (select from pg_catalog.pg_trigger g where g.tgconstraint = k.oid and g.tgenabled <> 'O') as unusual,
           pg_catalog.format('%I.%I', n.nspname, c.relname) as child,
           pg_catalog.pg_get_constraintdef(k.oid) as definition,
           pg_catalog.obj_description(k.oid, 'pg_constraint') as comment
      from pg_catalog.pg_constraint k
      join pg_catalog.pg_class c on c.oid = k.conrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where k.contype = 'f'
       and k.coninhcount > 0
), descended as (
    select k.oid as root, k.confrelid as pointed, k.oid, k.conrelid, k.conname as above_it, 0 as depth, false as is_named, null::oid as own
      from pg_catalog.pg_constraint k
     where k.contype = 'f'
       and k.coninhcount = 0
     union all
    -- One whose table is the one above stands for a partition of what is pointed to, and has a name and triggers of the server's making.
    select d.root,
           d.pointed,
           i.oid,
           i.conrelid,
           i.conname,
           d.depth + 1,
           i.conrelid <> d.conrelid and i.confrelid = d.pointed,
           case when i.conrelid <> d.conrelid and i.confrelid = d.pointed and i.conname <> d.above_it then i.oid end
      from descended d
      join inherited i on i.parent = d.oid
), parts as (
    select d.root,
           pg_catalog.bool_or(i.unusual) as unusual,
           pg_catalog.bool_or(d.own is not null and pg_catalog.current_setting('server_version_num')::int4 < 120000) as renamed,
           pg_catalog.string_agg(pg_catalog.format('alter table %s add constraint %I %s; ', i.child, i.conname, i.definition), '' order by d.depth desc)
               filter (where d.own is not null) as additions,
           pg_catalog.string_agg(pg_catalog.format('; comment on constraint %I on %s is %L', i.conname, i.child, i.comment), '' order by d.depth)
               filter (where d.is_named and i.comment is not null) as comments
      from descended d
      join inherited i on i.oid = d.oid
     where d.depth > 0
     group by d.root
), touched as (
    select k.oid,
           k.conname,
           k.convalidated,
           k.confmatchtype,
           exists (select from pg_catalog.pg_trigger g where g.tgconstraint = k.oid and g.tgenabled <> 'O') as unusual,
           c.relkind,
           p.relkind as pointed_relkind,
           pg_catalog.format('%I.%I', cn.nspname, c.relname) as child,
           pg_catalog.format('%I.%I', pn.nspname, p.relname) as parent,
           pg_catalog.pg_get_constraintdef(k.oid) as definition,
           pg_catalog.obj_description(k.oid, 'pg_constraint') as comment,
           (select pg_catalog.array_agg(fa.attname::text order by i)
              from pg_catalog.generate_subscripts(k.conkey, 1) as i
              join pg_catalog.pg_attribute fa on fa.attrelid = k.conrelid and fa.attnum = k.conkey[i]) as columns,
           (select pg_catalog.string_agg(
                       pg_catalog.format('pointed.%I operator(%I.%s) pointing.%I%s', pa.attname, opn.nspname, op.oprname, fa.attname,
                                         case when pa.attcollation <> fa.attcollation then ' collate pg_catalog."C"' else '' end),
                       ' and ' order by i)
              from pg_catalog.generate_subscripts(k.conkey, 1) as i
              join pg_catalog.pg_attribute fa on fa.attrelid = k.conrelid and fa.attnum = k.conkey[i]
              join pg_catalog.pg_attribute pa on pa.attrelid = k.confrelid and pa.attnum = k.confkey[i]
              join pg_catalog.pg_operator op on op.oid = k.conpfeqop[i]
              join pg_catalog.pg_namespace opn on opn.oid = op.oprnamespace) as is_pointed_to,
           -- The last column is the period.
           (select pg_catalog.format('pointing.%I operator(pg_catalog.<@) pg_catalog.range_agg(pointed.%I)', fa.attname, pa.attname)
              from pg_catalog.pg_attribute fa,
                   pg_catalog.pg_attribute pa
             where fa.attrelid = k.conrelid and fa.attnum = k.conkey[pg_catalog.array_upper(k.conkey, 1)]
               and pa.attrelid = k.confrelid and pa.attnum = k.confkey[pg_catalog.array_upper(k.confkey, 1)]
               and coalesce((pg_catalog.to_jsonb(k) ->> 'conperiod')::bool, false)) as is_covered
      from pg_catalog.pg_constraint k
      join pg_catalog.pg_class c on c.oid = k.conrelid
      join pg_catalog.pg_namespace cn on cn.oid = c.relnamespace
      join pg_catalog.pg_class p on p.oid = k.confrelid
      join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
     where k.contype = 'f'
       and k.coninhcount = 0
       and (k.conrelid in (select oid from tree) or k.confrelid in (select oid from tree))
)
select pg_catalog.format('%s of %s', t.conname, t.child) as name,
       t.unusual or coalesce(p.unusual, false) as unusual,
       coalesce(p.renamed, false) as renamed,
       case when t.convalidated then
           pg_catalog.format('select count(*) from %s%s as pointing where %s and not ',
                             case t.relkind when 'p' then '' else 'only ' end,
                             t.child,
                             (select '(' || pg_catalog.string_agg(pg_catalog.format('pointing.%I is not null', one), case t.confmatchtype when 'f' then ' or ' else ' and ' end) || ')'
                                from pg_catalog.unnest(t.columns) as one))
           || pg_catalog.format(case when t.is_covered is null then 'exists (select %s from %s%s as pointed where %s)'
                                     else 'coalesce((select %s from %s%s as pointed where %s), false)' end,
                                t.is_covered,
                                case t.pointed_relkind when 'p' then '' else 'only ' end,
                                t.parent,
                                t.is_pointed_to)
       end as question,
       pg_catalog.format('alter table %s drop constraint %I', t.child, t.conname) as drop_statement,
       pg_catalog.format('%salter table %s add constraint %I %s', p.additions, t.child, t.conname, t.definition) as add_statement,
       pg_catalog.format('comment on constraint %I on %s is %L%s', t.conname, t.child, t.comment, p.comments) as comment_statement
  from touched t
  left join parts p on p.root = t.oid
 order by t.oid;
