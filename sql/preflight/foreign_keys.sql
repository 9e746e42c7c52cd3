-- Foreign keys that the database believes to hold, with their columns in the key's order; those of the smallest tables first.
-- One that is not enforced (18+) is not validated either.
select k.conname::text as name,
       n.nspname::text as schema,
       c.relname::text as table_name,
       c.relkind = 'p' as partitioned,
       coalesce(pg_catalog.to_jsonb(k) ->> 'conparentid', '0') <> '0' as inherited,
       pg_catalog.pg_get_constraintdef(k.oid) as definition,
       fn.nspname::text as referenced_schema,
       fc.relname::text as referenced_name,
       fc.relkind = 'p' as referenced_partitioned,
       k.confmatchtype = 'f' as match_full,
       -- The last column is a period of time (18+), and its operator &&.
       coalesce((pg_catalog.to_jsonb(k) ->> 'conperiod')::bool, false) as over_time,
       (select pg_catalog.array_agg(a.attname::text order by u.place)
        from pg_catalog.unnest(k.conkey) with ordinality as u(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number) as columns,
       (select pg_catalog.array_agg(a.attname::text order by u.place)
        from pg_catalog.unnest(k.confkey) with ordinality as u(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.number) as referenced_columns,
       -- Two collations that do not go together need one to be named: the server takes that of the referenced column.
       (select pg_catalog.array_agg(
                 case when a.attcollation = fa.attcollation then ''
                      else coalesce((select pg_catalog.format('collate %I.%I ', cn.nspname, co.collname)
                                     from pg_catalog.pg_collation co
                                     join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
                                     where co.oid = fa.attcollation), '')
                 end || pg_catalog.format('operator(%I.%s)', ns.nspname, op.oprname) order by u.place)
        from rows from (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conpfeqop))
             with ordinality as u(ours, theirs, equal, place)
        join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.ours
        join pg_catalog.pg_attribute fa on fa.attrelid = k.confrelid and fa.attnum = u.theirs
        join pg_catalog.pg_operator op on op.oid = u.equal
        join pg_catalog.pg_namespace ns on ns.oid = op.oprnamespace) as operators
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid and c.relkind in ('r', 'p')
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class fc on fc.oid = k.confrelid and fc.relkind in ('r', 'p')
join pg_catalog.pg_namespace fn on fn.oid = fc.relnamespace
where k.contype = 'f'
  and k.convalidated
  -- A key to a partitioned table is one to each of its partitions as well, which no row has to meet.
  and not exists (select from pg_catalog.pg_constraint p
                  where p.oid = (pg_catalog.to_jsonb(k) ->> 'conparentid')::oid and p.conrelid = k.conrelid)
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  and pg_catalog.has_schema_privilege(fn.oid, 'USAGE')
  and pg_catalog.has_table_privilege(c.oid, 'SELECT')
  and pg_catalog.has_table_privilege(fc.oid, 'SELECT')
order by pg_catalog.pg_relation_size(c.oid), n.nspname, c.relname, k.conname
