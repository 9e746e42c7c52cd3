-- Which life of the server this is: its checkpointer ends with every crash, and with every restart. By the function alone: the view
-- joins to it what may be damaged.
select a.pid, a.backend_start
from pg_catalog.pg_stat_get_activity(null) a
where a.backend_type = 'checkpointer'
