"""An endpoint in the shape of OpenAI's over the chat's models; `ApiServer` in `server.py`.

`server.py` switches it on and off, `app.py` has the routes, `requests.py` and `replies.py` the
shape of what comes in and goes out, `engine.py` answers many requests at a time. A GGUF file is
served by llama.cpp's own server, in `gguf_server.py`.
"""
