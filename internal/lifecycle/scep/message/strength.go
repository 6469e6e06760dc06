package message

import (
	"crypto"
	"crypto/rsa"
	"encoding/asn1"

	"github.com/smallstep/pkcs7"
)

// strong bounds the work that a stranger's key may cost us, and what a signature is worth.
// Other keys than RSA are not taken: no answer could be encrypted for them.
func strong(pub crypto.PublicKey) bool {
	k, ok := pub.(*rsa.PublicKey)
	return ok && k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192
}

// digest reports whether a digest is taken. SHA-1 is for clients that know nothing else.
func digest(a asn1.ObjectIdentifier, legacy bool) bool {
	return a.Equal(pkcs7.OIDDigestAlgorithmSHA256) || a.Equal(pkcs7.OIDDigestAlgorithmSHA384) || a.Equal(pkcs7.OIDDigestAlgorithmSHA512) ||
		legacy && a.Equal(pkcs7.OIDDigestAlgorithmSHA1)
}
