-- Where the extension amcheck is, and whether it is one that knows heaps (from 14 on).
select n.nspname::text as schema,
       exists (select from pg_catalog.pg_proc p
               where p.pronamespace = e.extnamespace and p.proname = 'verify_heapam') as knows_heaps
from pg_catalog.pg_extension e
join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname = 'amcheck'
