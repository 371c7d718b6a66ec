-- Whether the server lets us write: sets what nobody reads, and takes it back before anybody could.

redis.call('HSET', prefix .. 'limits', ' probe', '0')
redis.call('HDEL', prefix .. 'limits', ' probe')
return 'OK'
