-- Where a target stands that follows its source.
select s.format, s.state
from pgconvoy_follow.state s
