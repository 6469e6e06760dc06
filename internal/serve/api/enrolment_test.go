package api_test

import (
	"net/http"
	"testing"
)

func TestCertificateIsAskedForApprovedAndCollected(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		type enrolled struct{ Request, State, Certificate, Problem string }
		var made, got enrolled
		c.want(t, http.StatusAccepted, "POST /profiles/ocsp-signer/certificates", map[string]any{"csr": csr(t, "a.example.com")}, &made)
		c.want(t, http.StatusAccepted, "GET /requests/"+made.Request+"/certificate", nil, &got)

		if made.State != "pending" || got.State != "pending" || got.Certificate != "" {
			t.Errorf("%+v %+v", made, got)
		}
		c.as(t, "Requester").want(t, http.StatusAccepted, "GET /requests/"+made.Request+"/certificate", nil, &got)
		c.refused(t, 404, "RequestNotFound", "GET /requests/none/certificate", nil)
	})
}

func TestOneTimePasswordsAreMadeListedAndTakenBack(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		type code struct{ ID, Password, Profile, Spent string }
		draft := map[string]any{"door": "est", "profile": "tls-server", "names": []string{"a.test"}, "hours": 2}
		var made code
		c.want(t, http.StatusCreated, "POST /passcodes", draft, &made)
		var l list[code]
		c.want(t, http.StatusOK, "GET /passcodes", nil, &l)
		if len(made.Password) < 40 || len(l.Items) != 1 || l.Items[0].ID != made.ID || l.Items[0].Password != "" {
			t.Errorf("%+v, list %+v", made, l)
		}

		c.as(t, "Auditor").refused(t, 403, "ForbiddenByRbac", "DELETE /passcodes/"+made.ID, nil)
		c.want(t, http.StatusNoContent, "DELETE /passcodes/"+made.ID, nil, nil)
		c.refused(t, 404, "PasscodeNotFound", "DELETE /passcodes/"+made.ID, nil)
		draft["profile"] = "tls-client"
		c.refused(t, 422, "DoorClosed", "POST /passcodes", draft)
		draft["profile"], draft["hours"] = "tls-server", 9000
		c.refused(t, 422, "InvalidRequest", "POST /passcodes", draft)
	})
}

func TestKeyAndCertificateAreMadeInOneFile(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var made struct{ Bundle, Format, Certificate, State string }
		body := map[string]any{"names": map[string]any{"dns": []string{"a.example.com"}}, "password": "correct horse"}
		c.want(t, http.StatusCreated, "POST /profiles/tls-server/bundles", body, &made)
		if made.Bundle == "" || made.Format != "pfx" || made.State != "issued" || made.Certificate == "" {
			t.Errorf("%+v", made)
		}
		delete(body, "password")
		c.refused(t, 422, "InvalidPassword", "POST /profiles/tls-server/bundles", body)
	})
}
