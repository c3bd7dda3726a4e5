"""The known requests of Feishu's protocol: keys, plain texts, ciphertexts and signatures that other SDKs agree on."""

from __future__ import annotations

from typing import Final

ENCRYPT_KEY: Final = "hub-encrypt-key-0001"
ENCRYPT_KEY_SHA256: Final = "44edf3b9f979550248914162230ef1d6179ebbbf0a94dcc2ec1e20fd0678796e"
VERIFICATION_TOKEN: Final = "hub-verify-token-0001"
APP_ID: Final = "cli_a000000000000001"
IV: Final = bytes(range(16))
TIMESTAMP: Final = "1700000000"
NONCE: Final = "nonce-0001"

# The one of Feishu's own documentation, under a key and an IV of its own.
DOCS_KEY: Final = "test key"
DOCS_IV: Final = bytes.fromhex("3f7ef0f9564898d80f10ed5106127a46")
DOCS_CIPHER: Final = "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk="
DOCS_PLAIN: Final = b"hello world"

CHALLENGE_PLAIN: Final = b'{"challenge":"ajls384kdjx98XX","token":"hub-verify-token-0001","type":"url_verification"}'
CHALLENGE_CIPHER: Final = (
    "AAECAwQFBgcICQoLDA0ODzcXv8+9Fe4UMKk0/nrlRzTFU9bswNDcyJMUyKvkBdKPxcpEHh99ka8CVay69XZonaJWcpYEFOndjZL5ZhFcuCLz"
    "6oq3GrQkNOSO88LeaWQFXFhGxnd53DK5JBeCXnH74w=="
)
EVENT_PLAIN: Final = (
    '{"schema":"2.0","header":{"event_id":"5e3702a84e847582be8db7fb73283c02","event_type":"im.message.receive_v1",'
    '"create_time":"1700000000000","token":"hub-verify-token-0001","app_id":"cli_a000000000000001",'
    '"tenant_key":"t000000000000001"},"event":{"sender":{"sender_id":{"union_id":"on_0001","user_id":"u0001",'
    '"open_id":"ou_0001"},"sender_type":"user","tenant_key":"t000000000000001"},"message":{"message_id":"om_0001",'
    '"create_time":"1700000000000","update_time":"1700000000000","chat_id":"oc_0001","chat_type":"p2p",'
    '"message_type":"text","content":"{\\"text\\":\\"你好\\"}"}}}'
).encode()
EVENT_CIPHER: Final = (
    "AAECAwQFBgcICQoLDA0ODzdXC5TmTlvf4BuyLxztQwn+nzgNkTzBBNuM3jIoEtx85nmTOy9co3bQ0srC0LX8pjsk350kcOXJiFAuqBlOospGAq+z"
    "CnjzCmmP8PYKYkTJC+PzFp9WSMj79LFoJtcQkAJqu0m1yzt9K+MJVM33dXEbEDCVdZOFmDa7A2C5XhjniR0HbgFe89x43BcMDw4ZRKYd+hm+OHrr"
    "uEeWJqzINO99rnl05L2FghDSM8L0klGhBJc3xfi3LP2+DXCzDzQCvlIYdEQWo23qDm5wpQHazn6po8Ol0+S7HAZMtFyJ3UeIgNYRcP4Vne3LnjMK"
    "xYJoZH0XxXUfROeSGqwWgW8TmGtOzdp/lIOa0rMYpg8oQP9YbN5vlgPWhjdMMjf137mPOxj1QUfzNmvLGAyxO7BqqX+68gYvhXbiAxlRTR105UOs"
    "2ZRuKlQmSNLOCdp1LadTw7uFiIggiCuYsU6RPt2k8j/jGzwOLqy3EKLgcRjvqvDgMjGUfu07w8Iguz8btwL95tVRjPSNw8UL3txrbi4HxJAhfkb4"
    "ZizKervd4dibAKbqgJVVCaZ7WkAhAzJkyScDplWjDwQugPNnegUNnWpxaRzXXlBpCid7XMokQcJw6qZk7MvZ4+05GTT2oCwi4kHz58nF/rSyvaoS"
    "/IxQIlhmPz7uEUGJyPK/mWFlh+qRIcxslk2n8aMiuSTior+qcxYJbOEJkNE7hka7IZkxPOHjoacJguD2VD/ddWQWSoBTl2IFe/LjkjiYmdkJdxFM"
    "Sgf7MQ=="
)

PLAIN_AND_CIPHER: Final = (
    (b"hello, hub", "AAECAwQFBgcICQoLDA0OD4bnSOnkUxQDIfIZe1/efRo="),
    (b"0123456789abcdef", "AAECAwQFBgcICQoLDA0OD4338G2ER/d5UZytJ/9/CeR69voh1Q8hhe0MuHS84kkD"),
    ("你好，飞书机器人！".encode(), "AAECAwQFBgcICQoLDA0OD+3/eI5QDa9brs43OpRfARMBnwFod0MRpc9t24r7abDS"),
    (CHALLENGE_PLAIN, CHALLENGE_CIPHER),
    (EVENT_PLAIN, EVENT_CIPHER),
)

CHALLENGE_BODY: Final = b'{"encrypt":"' + CHALLENGE_CIPHER.encode() + b'"}'
CHALLENGE_SIGNATURE: Final = "7fc8067be4e33c5588c6c679bea538e050c03240ef09021c917e6dce209f6487"
EVENT_BODY: Final = b'{"encrypt":"' + EVENT_CIPHER.encode() + b'"}'
EVENT_SIGNATURE: Final = "84395849512570783cd56825710113edadf77a1bf81d270aed4483c585c8c893"

LEGACY_CARD_BODY: Final = (
    b'{"open_id":"ou_0001","user_id":"u0001","open_message_id":"om_0001","tenant_key":"t000000000000001",'
    b'"token":"c-0001","action":{"value":{"k":"v"},"tag":"button"}}'
)
LEGACY_CARD_SIGNATURE: Final = "e0b432c8a5a66b515aa9118f96eabfec9d43d85a"

HOOK_SECRET: Final = "demo-secret"
HOOK_SIGN: Final = "mYHw2R2SOm8Rw/sne3lQdmz4sOfntKR+1P/8RKKTwmA="
