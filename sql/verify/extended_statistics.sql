-- Extended statistics, and whether they have been built. Those on a single expression are not listed: they have no values but
-- those of the expression. Only of tables that the connected role may read: of others it is not told.
select n.nspname::text as schema,
       s.stxname::text as name,
       tn.nspname::text as table_schema,
       c.relname::text as table_name,
       exists (select
               from pg_catalog.pg_stats_ext x
               where x.statistics_schemaname = n.nspname
                 and x.statistics_name = s.stxname
                 and (x.n_distinct is not null or x.dependencies is not null or x.most_common_vals is not null)) as built
from pg_catalog.pg_statistic_ext s
join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
join pg_catalog.pg_class c on c.oid = s.stxrelid
join pg_catalog.pg_namespace tn on tn.oid = c.relnamespace
where s.stxkind::text[] <> '{e}'
  and pg_catalog.has_table_privilege(c.oid, 'SELECT')
  and not pg_catalog.row_security_active(c.oid)
order by 1, 2
